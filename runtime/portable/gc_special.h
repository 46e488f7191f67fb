/* Functions of floating point that are the same text on both targets, on top of the functions
 * that each target's gc_math.h defines before it includes this file. */
#ifndef GC_SPECIAL_H
#define GC_SPECIAL_H

#include "gc_integer.h"

/* T: element type; U: its name. */
#define GC_DEFINE_FLOAT(T, U)                                                                      \
    GC_INLINE T gc_add_##U(T a, T b) { return a + b; }                                             \
    GC_INLINE T gc_sub_##U(T a, T b) { return a - b; }                                             \
    GC_INLINE T gc_mul_##U(T a, T b) { return a * b; }                                             \
    GC_INLINE T gc_where_##U(gc_b1 c, T a, T b) { return c ? a : b; }                               \
    GC_INLINE T gc_neg_##U(T x) { return -x; }                                                     \
    GC_INLINE T gc_reciprocal_##U(T x) { return (T)1 / x; }                                        \
    GC_INLINE T gc_frac_##U(T x) { return x - gc_trunc_##U(x); }                                   \
    GC_INLINE gc_b1 gc_isnan_##U(T x) { return x != x; }                                           \
    GC_INLINE gc_b1 gc_isinf_##U(T x) { return gc_abs_##U(x) == (T)GC_INFINITY; }                  \
    GC_INLINE gc_b1 gc_isfinite_##U(T x) { return gc_abs_##U(x) < (T)GC_INFINITY; }                \
    /* As PyTorch: 0 for NaN. */                                                                   \
    GC_INLINE T gc_sign_##U(T x) { return (T)((x > 0) - (x < 0)); }                                \
    /* NaN if either is; the first of equals. */                                                   \
    GC_INLINE T gc_max_##U(T a, T b) { return ((a >= b) | (a != a)) ? a : b; }                     \
    GC_INLINE T gc_min_##U(T a, T b) { return ((a <= b) | (a != a)) ? a : b; }                     \
    /* The number if only one is NaN. */                                                           \
    GC_INLINE T gc_fmax_##U(T a, T b) { return ((a >= b) | (b != b)) ? a : b; }                    \
    GC_INLINE T gc_fmin_##U(T a, T b) { return ((a <= b) | (b != b)) ? a : b; }                    \
    /* With the sign of the divisor, as Python's %; NaN for a divisor of 0. */                     \
    GC_INLINE T gc_remainder_##U(T a, T b) {                                                       \
        T rest = gc_fmod_##U(a, b);                                                                \
        int apart = (rest != 0) & ((b < 0) != (rest < 0));                                         \
        return apart ? rest + b : rest;                                                            \
    }                                                                                              \
    /* As Python's //: the quotient without the remainder is nearly whole; round it. */            \
    GC_INLINE T gc_floordiv_##U(T a, T b) {                                                        \
        T rest = gc_fmod_##U(a, b);                                                                \
        int apart = (rest != 0) & ((b < 0) != (rest < 0));                                         \
        T quotient = (a - rest) / b;                                                               \
        quotient = apart ? quotient - (T)1 : quotient;                                             \
        T whole = gc_floor_##U(quotient);                                                          \
        whole = quotient - whole > (T)0.5 ? whole + (T)1 : whole;                                  \
        whole = quotient == 0 ? gc_copysign_##U((T)0, a / b) : whole;                              \
        return b == 0 ? a / b : whole;                                                             \
    }                                                                                              \
    GC_INLINE T gc_truncdiv_##U(T a, T b) { return gc_trunc_##U(a / b); }

GC_DEFINE_FLOAT(float, f32)
GC_DEFINE_FLOAT(double, f64)
#undef GC_DEFINE_FLOAT

/* Logarithmic derivative of gamma. Recurrence up to 10, then the asymptotic series in 1/x^2
 * (Bernoulli numbers over 2k); reflection below 0. As PyTorch: poles at the negative integers are
 * NaN, at zero an infinity of the opposite sign. */
GC_FUNCTION double gc_digamma_f64(double x) {
    if (x == 0.0) return gc_copysign_f64((double)GC_INFINITY, -x);
    double reflected = 0.0;
    if (x < 0.0) {
        if (gc_trunc_f64(x) == x) return (double)GC_NAN;
        double fraction = x - gc_trunc_f64(x);
        reflected = 3.14159265358979323846 / gc_tan_f64(3.14159265358979323846 * fraction);
        x = 1.0 - x;
    }
    double sum = 0.0;
    for (; x < 10.0; x += 1.0) sum -= 1.0 / x;
    double z = 1.0 / (x * x);
    double series = 1.0 / 12.0;
    series = series * z - 691.0 / 32760.0;
    series = series * z + 1.0 / 132.0;
    series = series * z - 1.0 / 240.0;
    series = series * z + 1.0 / 252.0;
    series = series * z - 1.0 / 120.0;
    series = series * z + 1.0 / 12.0;
    double tail = x < (double)GC_INFINITY ? 0.5 / x + z * series : 0.0;
    return sum + gc_log_f64(x) - tail - reflected;
}

/* Inverse of erf: an estimate (Winitzki 2008, relative error 2e-3; its Taylor series near 0), then
 * three steps of Halley's method, on erfc in the tail where 1 - |x| is exact. */
GC_FUNCTION double gc_erfinv_f64(double x) {
    double a = gc_abs_f64(x);
    if (!(a < 1.0)) return a == 1.0 ? gc_copysign_f64((double)GC_INFINITY, x) : (double)GC_NAN;
    double y;
    if (a < 0.125) {
        y = 0.88622692545275801365 * a * (1.0 + 0.26179938779914943654 * a * a);
    } else {
        double log = gc_log1p_f64(-a * a);
        double half = 4.3307467508 + 0.5 * log; /* 2 / (0.147 pi) */
        y = gc_sqrt_f64(gc_sqrt_f64(half * half - log / 0.147) - half);
    }
    for (int step = 0; step < 3; ++step) {
        double error = a < 0.5 ? gc_erf_f64(y) - a : (1.0 - a) - gc_erfc_f64(y);
        double newton = error / (1.12837916709551257390 * gc_exp_f64(-y * y));
        y -= newton / (1.0 + y * newton);
    }
    return gc_copysign_f64(y, x);
}

/* The next number from x towards y: positive numbers are ordered as their bits are. */
GC_INLINE float gc_nextafter_f32(float x, float y) {
    gc_u32 bits = gc_bits_f32(x), sign = gc_bits_f32(y) & 0x80000000u;
    gc_u32 moved = ((y > x) == (x > 0.0f)) ? bits + 1u : bits - 1u;
    float next = x == 0.0f ? gc_float_of(sign | 1u) : gc_float_of(moved);
    return (x != x) | (y != y) ? x + y : x == y ? y : next;
}
GC_INLINE double gc_nextafter_f64(double x, double y) {
    gc_u64 bits = gc_bits_f64(x), sign = gc_bits_f64(y) & 0x8000000000000000u;
    gc_u64 moved = ((y > x) == (x > 0.0)) ? bits + 1u : bits - 1u;
    double next = x == 0.0 ? gc_double_of(sign | 1u) : gc_double_of(moved);
    return (x != x) | (y != y) ? x + y : x == y ? y : next;
}

/* x = mantissa * 2^exponent with the mantissa's size in [1/2, 1); zero, infinities and NaN are
 * their own mantissas and have exponent 0. Subnormal numbers are scaled up first. */
GC_INLINE gc_i32 gc_exponent_f32(float x) {
    float a = gc_abs_f32(x);
    int subnormal = a < 1.17549435e-38f;
    gc_i32 e = (gc_i32)(gc_bits_f32(subnormal ? a * 33554432.0f : a) >> 23) - 126;
    return (a == 0.0f) | !(a < GC_INFINITY) ? 0 : e - (subnormal ? 25 : 0);
}
GC_INLINE float gc_mantissa_f32(float x) {
    float a = gc_abs_f32(x);
    gc_u32 bits = gc_bits_f32(a < 1.17549435e-38f ? x * 33554432.0f : x);
    return (a == 0.0f) | !(a < GC_INFINITY) ? x : gc_float_of((bits & 0x807fffffu) | 0x3f000000u);
}
GC_INLINE gc_i32 gc_exponent_f64(double x) {
    double a = gc_abs_f64(x);
    int subnormal = a < 2.2250738585072014e-308;
    gc_i32 e = (gc_i32)(gc_bits_f64(subnormal ? a * 18014398509481984.0 : a) >> 52) - 1022;
    return (a == 0.0) | !(a < (double)GC_INFINITY) ? 0 : e - (subnormal ? 54 : 0);
}
GC_INLINE double gc_mantissa_f64(double x) {
    double a = gc_abs_f64(x);
    gc_u64 bits = gc_bits_f64(a < 2.2250738585072014e-308 ? x * 18014398509481984.0 : x);
    gc_u64 scaled = (bits & 0x800fffffffffffffu) | 0x3fe0000000000000u;
    return (a == 0.0) | !(a < (double)GC_INFINITY) ? x : gc_double_of(scaled);
}

#include "gc_special_f32.h"
#include "gc_bessel.h"
#include "gc_gamma.h"

GC_INLINE float gc_polygamma_f32(int n, float x) { return (float)gc_polygamma_f64(n, (double)x); }

#endif
