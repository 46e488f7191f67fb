/* Reductions and checked indices of generated C.
 *
 * Extremes of floats are joined as integers of the same order, for which vectors have instructions;
 * NaN wins, as in PyTorch. Sums of float32 are accumulated in double by the generated loops.
 */
#ifndef GC_REDUCE_H
#define GC_REDUCE_H

#include "gc_math.h"
#include "gc_program.h"

/* Integers in the order of floats, -inf to -0, 0 to inf: the bits, of negative floats all but the
 * sign turned around. NaN comes after all of them, or in gc_order_low before. gc_ordered is the
 * way back. */
GC_INLINE gc_i32 gc_turned_i32(gc_i32 bits) { return bits ^ (bits >> 31 & INT32_MAX); }
GC_INLINE gc_i64 gc_turned_i64(gc_i64 bits) { return bits ^ (bits >> 63 & INT64_MAX); }
GC_INLINE gc_i32 gc_order_f32(float x) {
    return x != x ? INT32_MAX : gc_turned_i32((gc_i32)gc_bits_f32(x));
}
GC_INLINE gc_i64 gc_order_f64(double x) {
    return x != x ? INT64_MAX : gc_turned_i64((gc_i64)gc_bits_f64(x));
}
GC_INLINE gc_i32 gc_order_low_f32(float x) {
    return x != x ? INT32_MIN : gc_turned_i32((gc_i32)gc_bits_f32(x));
}
GC_INLINE gc_i64 gc_order_low_f64(double x) {
    return x != x ? INT64_MIN : gc_turned_i64((gc_i64)gc_bits_f64(x));
}
GC_INLINE float gc_ordered_f32(gc_i32 key) { return gc_float_of((gc_u32)gc_turned_i32(key)); }
GC_INLINE double gc_ordered_f64(gc_i64 key) { return gc_double_of((gc_u64)gc_turned_i64(key)); }

/* Whether a value replaces the extreme found before it: strictly beyond, or the first NaN.
 * For scalar loops without selects, since a jump that is hardly ever taken costs less than a chain
 * of them; gc_above_lane for vectors in selects, without which gcc 12 does not vectorise. */
#define GC_DEFINE_FIRST_EXTREME(T)                                                                 \
    GC_INLINE int gc_above_##T(gc_##T value, gc_##T best) {                                        \
        return GC_UNLIKELY((value > best) | ((value != value) & (best == best)));                  \
    }                                                                                              \
    GC_INLINE int gc_below_##T(gc_##T value, gc_##T best) {                                        \
        return GC_UNLIKELY((value < best) | ((value != value) & (best == best)));                  \
    }                                                                                              \
    GC_INLINE int gc_same_##T(gc_##T a, gc_##T b) { return a != a ? b != b : a == b; }              \
    GC_INLINE int gc_above_lane_##T(gc_##T value, gc_##T best) {                                   \
        return value <= best ? 0 : best == best;                                                   \
    }                                                                                              \
    GC_INLINE int gc_below_lane_##T(gc_##T value, gc_##T best) {                                   \
        return value >= best ? 0 : best == best;                                                   \
    }

GC_DEFINE_FIRST_EXTREME(f32)
GC_DEFINE_FIRST_EXTREME(f64)
GC_DEFINE_FIRST_EXTREME(i8)
GC_DEFINE_FIRST_EXTREME(i16)
GC_DEFINE_FIRST_EXTREME(i32)
GC_DEFINE_FIRST_EXTREME(i64)
GC_DEFINE_FIRST_EXTREME(u8)
GC_DEFINE_FIRST_EXTREME(b1)
#undef GC_DEFINE_FIRST_EXTREME

GC_INLINE int64_t gc_least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Part number `part` of `parts` of `count` items, whole grains at a time. */
GC_INLINE void gc_part(int64_t part, int64_t parts, int64_t count, int64_t grain, int64_t *begin,
                       int64_t *end) {
    int64_t grains = (count + grain - 1) / grain;
    *begin = gc_least(grains * part / parts * grain, count);
    *end = gc_least(grains * (part + 1) / parts * grain, count);
}

/* An index within [0, limit); one outside is reported and replaced by 0. */
GC_INLINE int64_t gc_index(const gc_thread *t, int64_t site, int64_t value, int64_t limit) {
    if (GC_UNLIKELY(value < 0 || value >= limit)) {
        gc_report_index(&t->call->error, site, value, limit);
        return 0;
    }
    return value;
}

/* The same where negative indices count from the end. */
GC_INLINE int64_t gc_index_wrapped(const gc_thread *t, int64_t site, int64_t value,
                                   int64_t limit) {
    int64_t wrapped = value < 0 ? value + limit : value;
    if (GC_UNLIKELY(wrapped < 0 || wrapped >= limit)) {
        gc_report_index(&t->call->error, site, value, limit);
        return 0;
    }
    return wrapped;
}

#endif
