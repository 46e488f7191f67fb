/* Vectors as wide as the machine's registers, in GCC's vector extension (gcc, clang), for what
 * `#pragma omp simd` does not express: reductions of a NaN-propagating maximum, several rows at
 * once, tails by count. Elementwise arithmetic and comparisons are the language's own operators.
 *
 *   gc_v_f32, gc_v_f64, gc_v_i32, gc_v_i64    GC_VECTOR_BYTES each; GC_LANES_<type> elements
 *   gc_load_v_<type>(p)   gc_store_v_<type>(p, v)                    any alignment
 *   gc_load_part_v_<type>(p, n, rest)   gc_store_part_v_<type>(p, v, n)   0 <= n < lanes
 *   gc_splat_v_<type>(x)  gc_select_v_<type>(mask, a, b)  gc_max_v_<type>, gc_min_v_<type>
 *   gc_sum_lanes_<type>(v), gc_max_lanes_<type>(v), gc_min_lanes_<type>(v)
 *
 * Lanes are joined in halves, always in the same order. Maximum and minimum of floats are NaN if
 * any lane is. */
#ifndef GC_VECTOR_H
#define GC_VECTOR_H

#include "gc_math.h"

#ifndef GC_VECTOR_BYTES
#if defined(__AVX512F__)
#define GC_VECTOR_BYTES 64
#elif defined(__AVX__)
#define GC_VECTOR_BYTES 32
#else
#define GC_VECTOR_BYTES 16
#endif
#endif

#define GC_LANES_f32 (GC_VECTOR_BYTES / 4)
#define GC_LANES_f64 (GC_VECTOR_BYTES / 8)
#define GC_LANES_i32 (GC_VECTOR_BYTES / 4)
#define GC_LANES_i64 (GC_VECTOR_BYTES / 8)

typedef float gc_v_f32 __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef double gc_v_f64 __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef gc_i32 gc_v_i32 __attribute__((vector_size(GC_VECTOR_BYTES)));
typedef gc_i64 gc_v_i64 __attribute__((vector_size(GC_VECTOR_BYTES)));

/* M: the integer type of the same width, which comparisons give. */
#define GC_DEFINE_VECTOR(T, M)                                                                     \
    GC_INLINE gc_v_##T gc_load_v_##T(const gc_##T *p) {                                            \
        gc_v_##T v;                                                                                \
        __builtin_memcpy(&v, p, sizeof v);                                                         \
        return v;                                                                                  \
    }                                                                                              \
    GC_INLINE void gc_store_v_##T(gc_##T *p, gc_v_##T v) { __builtin_memcpy(p, &v, sizeof v); }    \
    GC_INLINE gc_v_##T gc_splat_v_##T(gc_##T x) {                                                  \
        gc_v_##T v;                                                                                \
        for (int i = 0; i < GC_LANES_##T; ++i) v[i] = x;                                           \
        return v;                                                                                  \
    }                                                                                              \
    GC_INLINE gc_v_##T gc_load_part_v_##T(const gc_##T *p, int n, gc_##T rest) {                   \
        gc_##T lanes[GC_LANES_##T];                                                                \
        for (int i = 0; i < GC_LANES_##T; ++i) lanes[i] = i < n ? p[i] : rest;                     \
        return gc_load_v_##T(lanes);                                                               \
    }                                                                                              \
    GC_INLINE void gc_store_part_v_##T(gc_##T *p, gc_v_##T v, int n) {                             \
        gc_##T lanes[GC_LANES_##T];                                                                \
        gc_store_v_##T(lanes, v);                                                                  \
        for (int i = 0; i < n; ++i) p[i] = lanes[i];                                               \
    }                                                                                              \
    GC_INLINE gc_v_##T gc_select_v_##T(gc_v_##M mask, gc_v_##T a, gc_v_##T b) {                    \
        return (gc_v_##T)((mask & (gc_v_##M)a) | (~mask & (gc_v_##M)b));                           \
    }                                                                                              \
    GC_INLINE gc_v_##T gc_max_v_##T(gc_v_##T a, gc_v_##T b) {                                      \
        return gc_select_v_##T((a > b) | (a != a), a, b);                                          \
    }                                                                                              \
    GC_INLINE gc_v_##T gc_min_v_##T(gc_v_##T a, gc_v_##T b) {                                      \
        return gc_select_v_##T((a < b) | (a != a), a, b);                                          \
    }                                                                                              \
    GC_DEFINE_LANES(T, sum, gc_add_##T)                                                            \
    GC_DEFINE_LANES(T, max, gc_max_##T)                                                            \
    GC_DEFINE_LANES(T, min, gc_min_##T)

#define GC_DEFINE_LANES(T, name, join)                                                             \
    GC_INLINE gc_##T gc_##name##_lanes_##T(gc_v_##T v) {                                           \
        gc_##T lanes[GC_LANES_##T];                                                                \
        gc_store_v_##T(lanes, v);                                                                  \
        for (int half = GC_LANES_##T / 2; half > 0; half /= 2)                                     \
            for (int i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);             \
        return lanes[0];                                                                           \
    }

GC_DEFINE_VECTOR(f32, i32)
GC_DEFINE_VECTOR(f64, i64)
GC_DEFINE_VECTOR(i32, i32)
GC_DEFINE_VECTOR(i64, i64)

#undef GC_DEFINE_VECTOR
#undef GC_DEFINE_LANES

#endif
