/* Types, qualifiers and bit casts for generated CUDA: the names of c/gc_types.h.
 * Compiles with nvcc, with NVRTC (which has no standard headers) and as C++ on the host. */
#ifndef GC_TYPES_H
#define GC_TYPES_H

#ifdef __CUDACC_RTC__
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

#define GC_INLINE static __device__ __forceinline__
#define GC_FUNCTION static __device__ __noinline__
#define GC_RESTRICT __restrict__
#define GC_LIKELY(condition) (condition)
#define GC_UNLIKELY(condition) (condition)

#define GC_INFINITY __uint_as_float(0x7f800000u)
#define GC_NAN __uint_as_float(0x7fc00000u)

typedef float gc_f32;
typedef double gc_f64;
typedef int8_t gc_i8;
typedef int16_t gc_i16;
typedef int32_t gc_i32;
typedef int64_t gc_i64;
typedef uint8_t gc_u8;
typedef uint16_t gc_u16;
typedef uint32_t gc_u32;
typedef uint64_t gc_u64;
typedef bool gc_b1;

GC_INLINE gc_u32 gc_bits_f32(float x) { return __float_as_uint(x); }
GC_INLINE float gc_float_of(gc_u32 bits) { return __uint_as_float(bits); }
GC_INLINE gc_u64 gc_bits_f64(double x) {
    gc_u64 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
GC_INLINE double gc_double_of(gc_u64 bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#include "../portable/gc_convert.h"

#endif
