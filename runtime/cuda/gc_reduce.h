/* Reductions and checked indices of generated CUDA.
 *
 * gc_block_*(x) joins the values of all threads of a block, in a fixed order, and returns the
 * result to each of them; every thread of the block must call it. NaN wins in extremes.
 */
#ifndef GC_REDUCE_H
#define GC_REDUCE_H

#include "gc_math.h"

/* What a program reports of an index outside its range: the first report is kept. */
typedef struct gc_error {
    int64_t state; /* 0: none, 1: an index was out of range */
    int64_t site;
    int64_t value;
    int64_t limit;
} gc_error;

/* Within a warp values meet by halves, then the first warp joins what the warps found. */
#define GC_DEFINE_BLOCK_JOIN(NAME, TYPE, JOIN)                                                     \
    GC_INLINE TYPE gc_block_##NAME(TYPE x) {                                                       \
        __shared__ TYPE found[33];                                                                 \
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;                                \
        const int warps = (blockDim.x + 31) / 32;                                                  \
        __syncthreads(); /* what the last call left in `found` has been read */                    \
        for (int step = 16; step > 0; step /= 2) {                                                 \
            const TYPE other = __shfl_down_sync(0xffffffffu, x, step);                             \
            if (lane + step < 32) x = JOIN;                                                        \
        }                                                                                          \
        if (lane == 0) found[warp] = x;                                                            \
        __syncthreads();                                                                           \
        if (threadIdx.x == 0) {                                                                    \
            x = found[0];                                                                          \
            for (int k = 1; k < warps; k++) {                                                      \
                const TYPE other = found[k];                                                       \
                x = JOIN;                                                                          \
            }                                                                                      \
            found[32] = x;                                                                         \
        }                                                                                          \
        __syncthreads();                                                                           \
        return found[32];                                                                          \
    }

#define GC_DEFINE_BLOCK_JOINS(T)                                                                   \
    GC_DEFINE_BLOCK_JOIN(sum_##T, gc_##T, x + other)                                               \
    GC_DEFINE_BLOCK_JOIN(prod_##T, gc_##T, x * other)                                              \
    GC_DEFINE_BLOCK_JOIN(max_##T, gc_##T, gc_max_##T(x, other))                                    \
    GC_DEFINE_BLOCK_JOIN(min_##T, gc_##T, gc_min_##T(x, other))

GC_DEFINE_BLOCK_JOINS(f32)
GC_DEFINE_BLOCK_JOINS(f64)
GC_DEFINE_BLOCK_JOINS(i32)
GC_DEFINE_BLOCK_JOINS(i64)
GC_DEFINE_BLOCK_JOIN(any, int, x | other)
GC_DEFINE_BLOCK_JOIN(all, int, x & other)

/* Narrow integers meet as int. */
#define GC_DEFINE_NARROW_JOINS(T)                                                                  \
    GC_INLINE gc_##T gc_block_sum_##T(gc_##T x) { return (gc_##T)gc_block_sum_i32(x); }            \
    GC_INLINE gc_##T gc_block_prod_##T(gc_##T x) { return (gc_##T)gc_block_prod_i32(x); }          \
    GC_INLINE gc_##T gc_block_max_##T(gc_##T x) { return (gc_##T)gc_block_max_i32(x); }            \
    GC_INLINE gc_##T gc_block_min_##T(gc_##T x) { return (gc_##T)gc_block_min_i32(x); }
GC_DEFINE_NARROW_JOINS(i8)
GC_DEFINE_NARROW_JOINS(i16)
GC_DEFINE_NARROW_JOINS(u8)
GC_DEFINE_NARROW_JOINS(b1)

/* Whether a value replaces the extreme found before it: strictly beyond, or the first NaN. */
#define GC_DEFINE_FIRST_EXTREME(T)                                                                 \
    GC_INLINE int gc_above_##T(gc_##T value, gc_##T best) {                                        \
        return (value > best) | ((value != value) & (best == best));                               \
    }                                                                                              \
    GC_INLINE int gc_below_##T(gc_##T value, gc_##T best) {                                        \
        return (value < best) | ((value != value) & (best == best));                               \
    }

/* The extreme of a block and its least position: threads hold positions in no order. */
#define GC_DEFINE_BLOCK_EXTREME(NAME, T, BEYOND)                                                   \
    GC_INLINE void gc_block_##NAME(gc_##T *best, int64_t *position) {                              \
        __shared__ gc_##T values[1024];                                                            \
        __shared__ int64_t positions[1024];                                                        \
        __syncthreads();                                                                           \
        values[threadIdx.x] = *best;                                                               \
        positions[threadIdx.x] = *position;                                                        \
        __syncthreads();                                                                           \
        if (threadIdx.x == 0) {                                                                    \
            gc_##T top = values[0];                                                                \
            int64_t at = positions[0];                                                             \
            for (int k = 1; k < (int)blockDim.x; k++) {                                            \
                const gc_##T value = values[k];                                                    \
                const int equal = (value == top) | ((value != value) & (top != top));              \
                if (BEYOND(value, top) || (equal && positions[k] < at)) {                          \
                    top = value;                                                                   \
                    at = positions[k];                                                             \
                }                                                                                  \
            }                                                                                      \
            values[0] = top;                                                                       \
            positions[0] = at;                                                                     \
        }                                                                                          \
        __syncthreads();                                                                           \
        *best = values[0];                                                                         \
        *position = positions[0];                                                                  \
    }

#define GC_DEFINE_EXTREMES(T)                                                                      \
    GC_DEFINE_FIRST_EXTREME(T)                                                                     \
    GC_DEFINE_BLOCK_EXTREME(argmax_##T, T, gc_above_##T)                                           \
    GC_DEFINE_BLOCK_EXTREME(argmin_##T, T, gc_below_##T)

GC_DEFINE_EXTREMES(f32)
GC_DEFINE_EXTREMES(f64)
GC_DEFINE_EXTREMES(i8)
GC_DEFINE_EXTREMES(i16)
GC_DEFINE_EXTREMES(i32)
GC_DEFINE_EXTREMES(i64)
GC_DEFINE_EXTREMES(u8)
GC_DEFINE_EXTREMES(b1)

#undef GC_DEFINE_BLOCK_JOIN
#undef GC_DEFINE_BLOCK_JOINS
#undef GC_DEFINE_NARROW_JOINS
#undef GC_DEFINE_FIRST_EXTREME
#undef GC_DEFINE_BLOCK_EXTREME
#undef GC_DEFINE_EXTREMES

GC_INLINE int64_t gc_reported(gc_error *report, int64_t site, int64_t value, int64_t limit,
                              unsigned long long state = 1ull) {
    if (atomicCAS((unsigned long long *)&report->state, 0ull, state) == 0ull) {
        report->site = site;
        report->value = value;
        report->limit = limit;
    }
    return 0;
}

/* An index within [0, limit); one outside is reported and replaced by 0. */
GC_INLINE int64_t gc_index(gc_error *report, int64_t site, int64_t value, int64_t limit) {
    if (value >= 0 && value < limit) return value;
    return gc_reported(report, site, value, limit);
}

/* The same where negative indices count from the end. */
GC_INLINE int64_t gc_index_wrapped(gc_error *report, int64_t site, int64_t value, int64_t limit) {
    const int64_t wrapped = value < 0 ? value + limit : value;
    if (wrapped >= 0 && wrapped < limit) return wrapped;
    return gc_reported(report, site, value, limit);
}

/* An integer divisor; a 0 is reported where it matters. */
#define GC_REPORTER report
GC_INLINE int64_t gc_divisor(gc_error *report, int64_t site, int64_t value, bool matters) {
    return value == 0 && matters ? gc_reported(report, site, 0, 0, 2ull) : value;
}

#endif
