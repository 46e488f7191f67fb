/* Types, qualifiers and bit casts for generated C. The CUDA header of the same name defines the
 * same names, so that generated text and the headers in portable/ compile for both targets. */
#ifndef GC_TYPES_H
#define GC_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls must dissolve into the loop around them, else the loop is not vectorised. */
#define GC_INLINE static inline __attribute__((always_inline, unused))
/* Large scalar functions, for which inlining only costs compile time. */
#define GC_FUNCTION static __attribute__((noinline, unused))
#define GC_RESTRICT restrict
#define GC_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define GC_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define GC_INFINITY __builtin_inff()
#define GC_NAN __builtin_nanf("")

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

/* Asks for memory that is wanted soon. It may lie behind the end of an array. */
GC_INLINE void gc_fetch(const void *from, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)from + at);
}

GC_INLINE gc_u32 gc_bits_f32(float x) {
    gc_u32 bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
GC_INLINE float gc_float_of(gc_u32 bits) {
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}
GC_INLINE gc_u64 gc_bits_f64(double x) {
    gc_u64 bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}
GC_INLINE double gc_double_of(gc_u64 bits) {
    double x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

#include "../portable/gc_convert.h"

#endif
