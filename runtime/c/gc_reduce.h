/* Reductions and checked indices of generated C.
 *
 * `#pragma omp simd reduction(gc_max_f32 : m)` lets the compiler keep one maximum for each vector
 * lane; NaN wins, as in PyTorch. Sums of float32 are accumulated in double by the generated loops.
 */
#ifndef GC_REDUCE_H
#define GC_REDUCE_H

#include "gc_math.h"
#include "gc_program.h"

#define GC_PRAGMA(text) _Pragma(#text)
#define GC_DECLARE_REDUCTION(NAME, TYPE, FIRST)                                                    \
    GC_PRAGMA(omp declare reduction(NAME : TYPE : omp_out = NAME(omp_out, omp_in))                 \
                  initializer(omp_priv = FIRST))

GC_DECLARE_REDUCTION(gc_max_f32, float, -GC_INFINITY)
GC_DECLARE_REDUCTION(gc_max_f64, double, -GC_INFINITY)
GC_DECLARE_REDUCTION(gc_max_i8, int8_t, INT8_MIN)
GC_DECLARE_REDUCTION(gc_max_i16, int16_t, INT16_MIN)
GC_DECLARE_REDUCTION(gc_max_i32, int32_t, INT32_MIN)
GC_DECLARE_REDUCTION(gc_max_i64, int64_t, INT64_MIN)
GC_DECLARE_REDUCTION(gc_max_u8, uint8_t, 0)
GC_DECLARE_REDUCTION(gc_min_f32, float, GC_INFINITY)
GC_DECLARE_REDUCTION(gc_min_f64, double, GC_INFINITY)
GC_DECLARE_REDUCTION(gc_min_i8, int8_t, INT8_MAX)
GC_DECLARE_REDUCTION(gc_min_i16, int16_t, INT16_MAX)
GC_DECLARE_REDUCTION(gc_min_i32, int32_t, INT32_MAX)
GC_DECLARE_REDUCTION(gc_min_i64, int64_t, INT64_MAX)
GC_DECLARE_REDUCTION(gc_min_u8, uint8_t, UINT8_MAX)

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
