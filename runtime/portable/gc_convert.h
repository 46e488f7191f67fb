/* Conversions between all element types, for C and for CUDA: gc_<from>_to_<to>(x).
 *
 * float16 and bfloat16 are storage: their bits in a struct, so that they are never computed with
 * by mistake. Values are float32.
 * Floating point to integer truncates. What does not fit (NaN included) becomes the smallest
 * integer of the conversion that x86 has, as in NumPy and PyTorch there: int32 for int8, int16
 * and int32, int64 for int64 and uint8; narrower types keep the low bits. Nothing is undefined.
 * To bool is "not zero" (NaN is true). Integer to narrower integer wraps. */
#ifndef GC_CONVERT_H
#define GC_CONVERT_H

typedef struct {
    gc_u16 bits;
} gc_f16;
typedef struct {
    gc_u16 bits;
} gc_bf16;

/* ------------------------------------------------------------------------ float16, bfloat16 */

GC_INLINE float gc_bf16_to_f32(gc_bf16 x) { return gc_float_of((gc_u32)x.bits << 16); }

/* Rounds to nearest even; overflows to infinity; a NaN keeps sign and upper payload, made quiet. */
GC_INLINE gc_bf16 gc_f32_to_bf16(float x) {
    gc_u32 bits = gc_bits_f32(x);
    gc_u32 rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    gc_u32 quiet = bits | 0x400000u;
    gc_bf16 result;
    result.bits = (gc_u16)((x != x ? quiet : rounded) >> 16);
    return result;
}

/* Exponent and mantissa moved into place read as a float 2^112 times too small, subnormals
 * included; an exponent of all ones (infinity, NaN) is filled up instead. */
GC_INLINE float gc_f16_to_f32(gc_f16 x) {
    gc_u32 sign = ((gc_u32)x.bits & 0x8000u) << 16;
    gc_u32 moved = ((gc_u32)x.bits & 0x7fffu) << 13;
    gc_u32 finite = gc_bits_f32(gc_float_of(moved) * 0x1p112f);
    gc_u32 special = moved | 0x7f800000u;
    return gc_float_of(sign | (moved >= 0x0f800000u ? special : finite));
}

/* Rounds to nearest even. Adding 0.5 rounds subnormal results, whose unit is that of 0.5 in
 * float32. From 65536 (0x47800000) on the exponent does not fit; what rounds up to 65536 becomes
 * infinity by the carry. */
GC_INLINE gc_f16 gc_f32_to_f16(float x) {
    gc_u32 sign = gc_bits_f32(x) & 0x80000000u;
    gc_u32 bits = gc_bits_f32(x) ^ sign;
    gc_u32 normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
    gc_u32 subnormal = gc_bits_f32(gc_float_of(bits) + 0.5f) - 0x3f000000u;
    gc_u32 quiet = 0x7e00u | ((bits >> 13) & 0x1ffu);
    gc_u32 half = bits < 0x38800000u ? subnormal : normal;
    half = bits >= 0x47800000u ? 0x7c00u : half;
    half = bits > 0x7f800000u ? quiet : half;
    gc_f16 result;
    result.bits = (gc_u16)((sign >> 16) | half);
    return result;
}

/* The bits that a value has in memory, and back. */
GC_INLINE gc_i32 gc_bits_of_f32(float x) { return (gc_i32)gc_bits_f32(x); }
GC_INLINE gc_i64 gc_bits_of_f64(double x) { return (gc_i64)gc_bits_f64(x); }
GC_INLINE float gc_f32_of_bits(gc_i32 bits) { return gc_float_of((gc_u32)bits); }
GC_INLINE double gc_f64_of_bits(gc_i64 bits) { return gc_double_of((gc_u64)bits); }
GC_INLINE gc_i16 gc_bits_of_f16(float x) { return (gc_i16)gc_f32_to_f16(x).bits; }
GC_INLINE gc_i16 gc_bits_of_bf16(float x) { return (gc_i16)gc_f32_to_bf16(x).bits; }
GC_INLINE float gc_f16_of_bits(gc_i16 bits) {
    gc_f16 x;
    x.bits = (gc_u16)bits;
    return gc_f16_to_f32(x);
}
GC_INLINE float gc_bf16_of_bits(gc_i16 bits) {
    gc_bf16 x;
    x.bits = (gc_u16)bits;
    return gc_bf16_to_f32(x);
}

#define gc_load_bf16 gc_bf16_to_f32
#define gc_load_f16 gc_f16_to_f32
#define gc_to_bf16 gc_f32_to_bf16
#define gc_to_f16 gc_f32_to_f16

/* ------------------------------------------------------------------ floating point to integer */

/* The inner select keeps the conversion defined for every lane. */
#define GC_DEFINE_TRUNCATION(S, T, above_minimum, limit, minimum)                                  \
    GC_INLINE gc_##T gc_##S##_to_##T(gc_##S x) {                                                   \
        int fits = (above_minimum) & (x < limit);                                                  \
        gc_##T whole = (gc_##T)(fits ? x : 0);                                                     \
        return fits ? whole : minimum;                                                             \
    }

GC_DEFINE_TRUNCATION(f32, i32, x >= -0x1p31f, 0x1p31f, (gc_i32)(-2147483647 - 1))
GC_DEFINE_TRUNCATION(f64, i32, x > -2147483649.0, 0x1p31, (gc_i32)(-2147483647 - 1))
GC_DEFINE_TRUNCATION(f32, i64, x >= -0x1p63f, 0x1p63f, (gc_i64)(-9223372036854775807ll - 1))
GC_DEFINE_TRUNCATION(f64, i64, x >= -0x1p63, 0x1p63, (gc_i64)(-9223372036854775807ll - 1))

GC_INLINE gc_i8 gc_f32_to_i8(float x) { return (gc_i8)gc_f32_to_i32(x); }
GC_INLINE gc_i8 gc_f64_to_i8(double x) { return (gc_i8)gc_f64_to_i32(x); }
GC_INLINE gc_i16 gc_f32_to_i16(float x) { return (gc_i16)gc_f32_to_i32(x); }
GC_INLINE gc_i16 gc_f64_to_i16(double x) { return (gc_i16)gc_f64_to_i32(x); }
/* A float32 beyond int32 is a multiple of 256: its low byte is 0 either way. */
GC_INLINE gc_u8 gc_f32_to_u8(float x) { return (gc_u8)gc_f32_to_i32(x); }
GC_INLINE gc_u8 gc_f64_to_u8(double x) { return (gc_u8)gc_f64_to_i64(x); }

#undef GC_DEFINE_TRUNCATION

/* ---------------------------------------------------------------------------- everything else */

#define GC_DEFINE_CAST(S, T)                                                                       \
    GC_INLINE gc_##T gc_##S##_to_##T(gc_##S x) { return (gc_##T)x; }
#define GC_DEFINE_TO_BOOL(S)                                                                       \
    GC_INLINE gc_b1 gc_##S##_to_b1(gc_##S x) { return x != 0; }
#define GC_DEFINE_CAST_TO_HALVES(S)                                                                \
    GC_INLINE gc_f16 gc_##S##_to_f16(gc_##S x) { return gc_f32_to_f16((float)x); }                 \
    GC_INLINE gc_bf16 gc_##S##_to_bf16(gc_##S x) { return gc_f32_to_bf16((float)x); }
#define GC_DEFINE_CASTS_OF_INTEGER(S)                                                              \
    GC_DEFINE_CAST(S, f32)                                                                         \
    GC_DEFINE_CAST(S, f64)                                                                         \
    GC_DEFINE_CAST(S, i8)                                                                          \
    GC_DEFINE_CAST(S, i16)                                                                         \
    GC_DEFINE_CAST(S, i32)                                                                         \
    GC_DEFINE_CAST(S, i64)                                                                         \
    GC_DEFINE_CAST(S, u8)                                                                          \
    GC_DEFINE_TO_BOOL(S)                                                                           \
    GC_DEFINE_CAST_TO_HALVES(S)
#define GC_DEFINE_CASTS_OF_HALF(S)                                                                 \
    GC_INLINE gc_##S gc_##S##_to_##S(gc_##S x) { return x; }                                       \
    GC_INLINE gc_f64 gc_##S##_to_f64(gc_##S x) { return gc_##S##_to_f32(x); }                      \
    GC_INLINE gc_i8 gc_##S##_to_i8(gc_##S x) { return gc_f32_to_i8(gc_##S##_to_f32(x)); }          \
    GC_INLINE gc_i16 gc_##S##_to_i16(gc_##S x) { return gc_f32_to_i16(gc_##S##_to_f32(x)); }       \
    GC_INLINE gc_i32 gc_##S##_to_i32(gc_##S x) { return gc_f32_to_i32(gc_##S##_to_f32(x)); }       \
    GC_INLINE gc_i64 gc_##S##_to_i64(gc_##S x) { return gc_f32_to_i64(gc_##S##_to_f32(x)); }       \
    GC_INLINE gc_u8 gc_##S##_to_u8(gc_##S x) { return gc_f32_to_u8(gc_##S##_to_f32(x)); }          \
    GC_INLINE gc_b1 gc_##S##_to_b1(gc_##S x) { return gc_##S##_to_f32(x) != 0; }

GC_DEFINE_CASTS_OF_INTEGER(i8)
GC_DEFINE_CASTS_OF_INTEGER(i16)
GC_DEFINE_CASTS_OF_INTEGER(i32)
GC_DEFINE_CASTS_OF_INTEGER(i64)
GC_DEFINE_CASTS_OF_INTEGER(u8)
/* Selects: gcc does not make vectors of conversions from bool to float. */
#define GC_DEFINE_CHOICE(T)                                                                        \
    GC_INLINE gc_##T gc_b1_to_##T(gc_b1 x) { return x ? 1 : 0; }
GC_DEFINE_CHOICE(f32)
GC_DEFINE_CHOICE(f64)
GC_DEFINE_CHOICE(i8)
GC_DEFINE_CHOICE(i16)
GC_DEFINE_CHOICE(i32)
GC_DEFINE_CHOICE(i64)
GC_DEFINE_CHOICE(u8)
GC_DEFINE_TO_BOOL(b1)
GC_DEFINE_CAST_TO_HALVES(b1)
#undef GC_DEFINE_CHOICE
GC_DEFINE_CASTS_OF_HALF(f16)
GC_DEFINE_CASTS_OF_HALF(bf16)
GC_DEFINE_CAST(f32, f32)
GC_DEFINE_CAST(f32, f64)
GC_DEFINE_TO_BOOL(f32)
GC_DEFINE_CAST(f64, f32)
GC_DEFINE_CAST(f64, f64)
GC_DEFINE_TO_BOOL(f64)
GC_DEFINE_CAST_TO_HALVES(f64)
GC_INLINE gc_bf16 gc_f16_to_bf16(gc_f16 x) { return gc_f32_to_bf16(gc_f16_to_f32(x)); }
GC_INLINE gc_f16 gc_bf16_to_f16(gc_bf16 x) { return gc_f32_to_f16(gc_bf16_to_f32(x)); }

#undef GC_DEFINE_CAST
#undef GC_DEFINE_TO_BOOL
#undef GC_DEFINE_CAST_TO_HALVES
#undef GC_DEFINE_CASTS_OF_INTEGER
#undef GC_DEFINE_CASTS_OF_HALF

/* The element type is also called bool. */
#define gc_f32_to_bool gc_f32_to_b1
#define gc_f64_to_bool gc_f64_to_b1
#define gc_f16_to_bool gc_f16_to_b1
#define gc_bf16_to_bool gc_bf16_to_b1
#define gc_i8_to_bool gc_i8_to_b1
#define gc_i16_to_bool gc_i16_to_b1
#define gc_i32_to_bool gc_i32_to_b1
#define gc_i64_to_bool gc_i64_to_b1
#define gc_u8_to_bool gc_u8_to_b1
#define gc_bool_to_f32 gc_b1_to_f32
#define gc_bool_to_f64 gc_b1_to_f64
#define gc_bool_to_f16 gc_b1_to_f16
#define gc_bool_to_bf16 gc_b1_to_bf16
#define gc_bool_to_i8 gc_b1_to_i8
#define gc_bool_to_i16 gc_b1_to_i16
#define gc_bool_to_i32 gc_b1_to_i32
#define gc_bool_to_i64 gc_b1_to_i64
#define gc_bool_to_u8 gc_b1_to_u8
#define gc_bool_to_bool gc_b1_to_b1

#endif
