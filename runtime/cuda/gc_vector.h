/* Groups of elements that one thread moves with one 16-byte access. The lanes of a warp are the
 * vector on this target, so that there is no arithmetic here.
 *
 *   gc_v_f32, gc_v_f64, gc_v_i32, gc_v_i64    GC_VECTOR_BYTES each; GC_LANES_<type> elements
 *   gc_load_v_<type>(p)   gc_store_v_<type>(p, v)                    p aligned to 16 bytes
 *   gc_sum_lanes_<type>(v), gc_max_lanes_<type>(v), gc_min_lanes_<type>(v) */
#ifndef GC_VECTOR_H
#define GC_VECTOR_H

#include "gc_math.h"

#define GC_VECTOR_BYTES 16
#define GC_LANES_f32 4
#define GC_LANES_f64 2
#define GC_LANES_i32 4
#define GC_LANES_i64 2

#define GC_DEFINE_VECTOR(T)                                                                        \
    struct __align__(16) gc_v_##T {                                                                \
        gc_##T lane[GC_LANES_##T];                                                                 \
        __device__ gc_##T &operator[](int i) { return lane[i]; }                                   \
        __device__ const gc_##T &operator[](int i) const { return lane[i]; }                       \
    };                                                                                             \
    GC_INLINE gc_v_##T gc_load_v_##T(const gc_##T *p) {                                            \
        return *reinterpret_cast<const gc_v_##T *>(p);                                             \
    }                                                                                              \
    GC_INLINE void gc_store_v_##T(gc_##T *p, gc_v_##T v) { *reinterpret_cast<gc_v_##T *>(p) = v; } \
    GC_DEFINE_LANES(T, sum, gc_add_##T)                                                            \
    GC_DEFINE_LANES(T, max, gc_max_##T)                                                            \
    GC_DEFINE_LANES(T, min, gc_min_##T)

#define GC_DEFINE_LANES(T, name, join)                                                             \
    GC_INLINE gc_##T gc_##name##_lanes_##T(gc_v_##T v) {                                           \
        for (int half = GC_LANES_##T / 2; half > 0; half /= 2)                                     \
            for (int i = 0; i < half; ++i) v[i] = join(v[i], v[i + half]);                         \
        return v[0];                                                                               \
    }

GC_DEFINE_VECTOR(f32)
GC_DEFINE_VECTOR(f64)
GC_DEFINE_VECTOR(i32)
GC_DEFINE_VECTOR(i64)

#undef GC_DEFINE_VECTOR
#undef GC_DEFINE_LANES

#endif
