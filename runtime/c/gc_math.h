/* Scalar functions of generated C: gc_<name>_<dtype>, defined on the whole range with NaN,
 * infinities, signed zeros and subnormals as in NumPy and PyTorch.
 *
 * float32 functions are straight-line code without tables, calls or branches (selects are ?:), so
 * that a loop that calls them vectorises; they stay within 4 units in the last place, most within
 * 2. Polynomials were fitted by the Remez exchange for the relative error of the function. float64
 * functions are of the same kind (gc_math_f64.h) or those of the C library. Compile without
 * -ffast-math; -ffp-contract moves results by no more than the last place. */
#ifndef GC_MATH_H
#define GC_MATH_H

#include "gc_types.h"

#if !defined(_WIN32)
/* Unlike lgamma, which writes the sign to a global that threads would share. */
extern double lgamma_r(double, int *);
#endif

/* ------------------------------------------------------------ rounding, signs, roots: exact */

#define GC_EXACT(name, builtin)                                                                    \
    GC_INLINE float gc_##name##_f32(float x) { return __builtin_##builtin##f(x); }                 \
    GC_INLINE double gc_##name##_f64(double x) { return __builtin_##builtin(x); }
GC_EXACT(floor, floor)
GC_EXACT(ceil, ceil)
GC_EXACT(trunc, trunc)
GC_EXACT(round, rint) /* half to even */
GC_EXACT(abs, fabs)
GC_EXACT(sqrt, sqrt)
#undef GC_EXACT

GC_INLINE float gc_copysign_f32(float x, float y) { return __builtin_copysignf(x, y); }
GC_INLINE double gc_copysign_f64(double x, double y) { return __builtin_copysign(x, y); }
GC_INLINE float gc_fmod_f32(float x, float y) { return __builtin_fmodf(x, y); }
GC_INLINE double gc_fmod_f64(double x, double y) { return __builtin_fmod(x, y); }
GC_INLINE float gc_rsqrt_f32(float x) { return 1.0f / __builtin_sqrtf(x); }
GC_INLINE double gc_rsqrt_f64(double x) { return 1.0 / __builtin_sqrt(x); }

/* ------------------------------------------------------------------------ float32: building */

/* Adding 1.5 * 2^23 rounds to an integer (half to even) and leaves it in the low bits: no
 * conversion that a NaN would make undefined. For |x| < 2^22. */
#define GC_SHIFT 0x1.8p23f
GC_INLINE gc_i32 gc_whole_of_shifted(float shifted) {
    return (gc_i32)(gc_bits_f32(shifted) - 0x4b400000u);
}

/* 2^n for -126 <= n <= 127; any n is defined. */
GC_INLINE float gc_two_to_the(gc_i32 n) { return gc_float_of(((gc_u32)n + 127u) << 23); }

/* x * 2^n, n in [-252, 254], rounded once when the result is subnormal. */
GC_INLINE float gc_scale(float x, gc_i32 n) {
    gc_i32 half = n >> 1;
    return x * gc_two_to_the(half) * gc_two_to_the(n - half);
}

/* exp(x) = 2^n * (1 + result), |x| < 2^21: x = n ln 2 + r, result = r + r^2 P(r). */
GC_INLINE float gc_exp_parts(float x, gc_i32 *n) {
    float shifted = x * 0x1.715476p0f + GC_SHIFT;
    float whole = shifted - GC_SHIFT;
    *n = gc_whole_of_shifted(shifted);
    float r = x - whole * 0x1.62p-1f; /* exact: the constant has nine bits */
    r = r - whole * 0x1.c85fep-10f;
    float p = 0x1.6d984cp-10f;
    p = p * r + 0x1.1227ap-7f;
    p = p * r + 0x1.555488p-5f;
    p = p * r + 0x1.5554bp-3f;
    p = p * r + 0.5f;
    return r + r * r * p;
}

/* x = 2^e (1 + result) with the result in [sqrt(1/2) - 1, sqrt(2) - 1], x > 0 finite. */
GC_INLINE float gc_log_parts(float x, float *e) {
    int subnormal = x < 0x1p-126f;
    gc_u32 bits = gc_bits_f32(subnormal ? x * 0x1p23f : x);
    gc_i32 exponent = (gc_i32)(bits - 0x3f3504f3u) >> 23;
    float m = gc_float_of(bits - ((gc_u32)exponent << 23));
    *e = (float)exponent - (subnormal ? 23.0f : 0.0f);
    return m - 1.0f;
}

/* e ln 2 + log(1 + f). */
GC_INLINE float gc_log_of_parts(float f, float e) {
    float q = 0x1.14f6ep-4f;
    q = q * f - 0x1.dedb3ap-4f;
    q = q * f + 0x1.e701dap-4f;
    q = q * f - 0x1.fc0a78p-4f;
    q = q * f + 0x1.2334c2p-3f;
    q = q * f - 0x1.555cd4p-3f;
    q = q * f + 0x1.99a4dap-3f;
    q = q * f - 0x1.000006p-2f;
    q = q * f + 0x1.555548p-2f;
    float square = f * f;
    float tail = q * f * square + e * 0x1.c85fep-10f;
    return tail - 0.5f * square + f + e * 0x1.62p-1f;
}

/* The values of a logarithm where x is not a positive finite number. */
GC_INLINE float gc_log_edges(float x, float inside) {
    float y = x < GC_INFINITY ? inside : x;
    y = x == 0.0f ? -GC_INFINITY : y;
    return x < 0.0f ? GC_NAN : y;
}

/* --------------------------------------------------------- float32: exponentials, logarithms */

GC_INLINE float gc_exp_f32(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    gc_i32 n;
    float q = gc_exp_parts(x, &n);
    return gc_scale(1.0f + q, n);
}

GC_INLINE float gc_exp2_f32(float x) {
    x = x > 129.0f ? 129.0f : x;
    x = x < -151.0f ? -151.0f : x;
    float shifted = x + GC_SHIFT;
    float r = x - (shifted - GC_SHIFT);
    float p = 0x1.448ff4p-13f;
    p = p * r + 0x1.5f45f8p-10f;
    p = p * r + 0x1.3b29aap-7f;
    p = p * r + 0x1.c6aed6p-5f;
    p = p * r + 0x1.ebfbep-3f;
    p = p * r + 0x1.62e43p-1f;
    return gc_scale(1.0f + p * r, gc_whole_of_shifted(shifted));
}

/* exp(x) - 1 for x < 89 (larger and NaN included); exact sign of zero is left to the caller. */
GC_INLINE float gc_expm1_inside(float x) {
    gc_i32 n;
    float q = gc_exp_parts(x, &n);
    float half = gc_two_to_the(n - 1); /* 2^128 would not fit */
    return 2.0f * (half * q + (half - 0.5f));
}

GC_INLINE float gc_expm1_f32(float x) {
    float inside = x > 89.0f ? 89.0f : x;
    inside = inside < -20.0f ? -20.0f : inside;
    float y = gc_expm1_inside(inside);
    return __builtin_fabsf(x) < 0x1p-25f ? x : y;
}

GC_INLINE float gc_log_f32(float x) {
    float e, f = gc_log_parts(x, &e);
    return gc_log_edges(x, gc_log_of_parts(f, e));
}

GC_INLINE float gc_log2_f32(float x) {
    float e, f = gc_log_parts(x, &e);
    float p = -0x1.c3533p-4f;
    p = p * f + 0x1.7db974p-3f;
    p = p * f - 0x1.8752d2p-3f;
    p = p * f + 0x1.a2f5aap-3f;
    p = p * f - 0x1.eab9e8p-3f;
    p = p * f + 0x1.277e9p-2f;
    p = p * f - 0x1.715a86p-2f;
    p = p * f + 0x1.ec7096p-2f;
    p = p * f - 0x1.71547p-1f;
    p = p * f + 0x1.715476p0f;
    return gc_log_edges(x, p * f + e);
}

GC_INLINE float gc_log10_f32(float x) {
    float e, f = gc_log_parts(x, &e);
    float p = -0x1.0fb986p-5f;
    p = p * f + 0x1.cba45ap-5f;
    p = p * f - 0x1.d7335p-5f;
    p = p * f + 0x1.f87a48p-5f;
    p = p * f - 0x1.277256p-4f;
    p = p * f + 0x1.63cf8ap-4f;
    p = p * f - 0x1.bcbefep-4f;
    p = p * f + 0x1.287a72p-3f;
    p = p * f - 0x1.bcb7aap-3f;
    p = p * f + 0x1.bcb7b2p-2f;
    return gc_log_edges(x, p * f + e * 0x1.04d428p-12f + e * 0x1.34p-2f);
}

/* 1 + x = 2^k (1 + f): f = x 2^-k + (2^-k - 1) is exact but for one rounding, unlike 1 + x. Where
 * 2^-k - 1 is not exact any more (k > 24), the 1 does not matter. */
GC_INLINE float gc_log1p_f32(float x) {
    float u = 1.0f + x;
    gc_u32 bits = gc_bits_f32(u);
    gc_i32 k = (gc_i32)(bits - 0x3f3504f3u) >> 23;
    float scale = gc_two_to_the(-k);
    float near = scale * x + (scale - 1.0f);
    float far = gc_float_of(bits - ((gc_u32)k << 23)) - 1.0f;
    float y = gc_log_of_parts(k > 24 ? far : near, (float)k);
    y = __builtin_fabsf(x) < 0x1p-25f ? x : y;
    y = x < GC_INFINITY ? y : x;
    y = x == -1.0f ? -GC_INFINITY : y;
    return x < -1.0f ? GC_NAN : y;
}

/* exp(-|x|) <= 1 keeps both tails: the left one reaches the subnormals. */
GC_INLINE float gc_sigmoid_f32(float x) {
    float e = gc_exp_f32(-__builtin_fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* ------------------------------------------------------------------------ float32: hyperbolic */

GC_INLINE float gc_tanh_f32(float x) {
    float a = __builtin_fabsf(x);
    a = a > 10.0f ? 10.0f : a;
    float t = gc_expm1_inside(2.0f * a);
    float y = t / (t + 2.0f);
    return __builtin_copysignf(a < 0x1p-13f ? a : y, x);
}

/* exp(a) / 2 where exp(a) itself may overflow; a >= 0 or NaN. */
GC_INLINE float gc_half_exp(float a) {
    gc_i32 n;
    float q = gc_exp_parts(a > 90.0f ? 90.0f : a, &n);
    return gc_scale(1.0f + q, n - 1);
}

GC_INLINE float gc_sinh_f32(float x) {
    float a = __builtin_fabsf(x), z = a * a;
    float p = 0x1.7a15b4p-19f;
    p = p * z + 0x1.9ffe92p-13f;
    p = p * z + 0x1.111134p-7f;
    p = p * z + 0x1.555556p-3f;
    float half = gc_half_exp(a);
    float large = half - 0.25f / half;
    return __builtin_copysignf(a < 1.0f ? a + a * z * p : large, x);
}

GC_INLINE float gc_cosh_f32(float x) {
    float half = gc_half_exp(__builtin_fabsf(x));
    return half + 0.25f / half;
}

/* asinh(a) = log1p(a + a^2 / (1 + sqrt(1 + a^2))); log(2a) where a^2 would overflow. */
GC_INLINE float gc_asinh_f32(float x) {
    float a = __builtin_fabsf(x), z = a * a;
    int large = a > 0x1p25f;
    float y = gc_log1p_f32(large ? a : a + z / (1.0f + __builtin_sqrtf(1.0f + z)));
    return __builtin_copysignf(y + (large ? 0x1.62e43p-1f : 0.0f), x);
}

GC_INLINE float gc_acosh_f32(float x) {
    float t = x - 1.0f;
    int large = x > 0x1p25f;
    float y = gc_log1p_f32(large ? x : t + __builtin_sqrtf(t * (x + 1.0f)));
    return x < 1.0f ? GC_NAN : y + (large ? 0x1.62e43p-1f : 0.0f);
}

GC_INLINE float gc_atanh_f32(float x) {
    float a = __builtin_fabsf(x);
    return __builtin_copysignf(0.5f * gc_log1p_f32(2.0f * a / (1.0f - a)), x);
}

/* --------------------------------------------------------------------- float32: trigonometric */

/* y modulo 4 within [-2, 2]: exact. */
GC_INLINE double gc_modulo_four(double y) { return y - 4.0 * __builtin_rint(0.25 * y); }

/* a = (quarter + 2 r / pi) quarter turns modulo 4, |r| <= pi/4, for any finite a >= 0.
 *
 * a times 2/pi, of which the leading bits, multiples of 4, are left out. That takes the bits of
 * 2/pi that matter at the size of a: from 2^56 on a is a multiple of 2^32, and of the product
 * (a 2^-32)(2^32 2/pi) only 2^32 2/pi modulo 4 matters, and so on for each 2^32. A float32 has 24
 * bits, so its products with parts of 29 bits are exact in float64. */
GC_INLINE float gc_quarter_turns(float a, gc_u32 *quarter) {
    int second = a >= 0x1p56f, third = a >= 0x1p88f, fourth = a >= 0x1p120f;
    double scale = 1.0, high = 0x1.45f306cp-1, middle = 0x1.c9c882ap-29;
    double low = 0x1.4fe13abe8fa9ap-59;
    scale = second ? 0x1p-32 : scale;
    high = second ? 0x1.27220a9p+1 : high;
    middle = second ? 0x1.3f84eaep-29 : middle;
    low = second ? 0x1.a3ea69bb81b6cp-57 : low;
    scale = third ? 0x1p-64 : scale;
    high = third ? 0x1.fc2757cp+0 : high;
    middle = third ? 0x1.1f534ddp-28 : middle;
    low = third ? 0x1.81b6c52b32788p-57 : low;
    scale = fourth ? 0x1p-96 : scale;
    high = fourth ? 0x1.f534ddcp+0 : high;
    middle = fourth ? 0x1.b6c52ap-33 : middle;
    low = fourth ? 0x1.3278872083fcap-57 : low;
    double x = (double)a * scale;
    high = gc_modulo_four(x * high);
    middle = gc_modulo_four(x * middle);
    low = x * low;
    double whole = __builtin_rint(high + middle + low);
    double r = (high - whole + middle + low) * 0x1.921fb54442d18p0;
    *quarter = gc_bits_f32((float)whole + GC_SHIFT);
    return (float)r;
}

GC_INLINE float gc_sin_reduced(float r) {
    float z = r * r;
    float p = 0x1.6ccf5ep-19f;
    p = p * z - 0x1.a00f74p-13f;
    p = p * z + 0x1.111108p-7f;
    p = p * z - 0x1.555556p-3f;
    return r + r * z * p;
}

GC_INLINE float gc_cos_reduced(float r) {
    float z = r * r;
    float p = 0x1.99e86ap-16f;
    p = p * z - 0x1.6c0c28p-10f;
    p = p * z + 0x1.55554ap-5f;
    return 1.0f - 0.5f * z + z * z * p;
}

/* sin(r + quarter * pi/2). */
GC_INLINE float gc_sin_quarters_f32(float r, gc_u32 quarter) {
    float y = (quarter & 1u) ? gc_cos_reduced(r) : gc_sin_reduced(r);
    return gc_float_of(gc_bits_f32(y) ^ ((quarter & 2u) << 30));
}

GC_INLINE float gc_sin_f32(float x) {
    gc_u32 quarter, sign = gc_bits_f32(x) & 0x80000000u;
    float r = gc_quarter_turns(__builtin_fabsf(x), &quarter);
    return gc_float_of(gc_bits_f32(gc_sin_quarters_f32(r, quarter)) ^ sign);
}

GC_INLINE float gc_cos_f32(float x) {
    gc_u32 quarter;
    float r = gc_quarter_turns(__builtin_fabsf(x), &quarter);
    return gc_sin_quarters_f32(r, quarter + 1u);
}

GC_INLINE float gc_tan_f32(float x) {
    gc_u32 quarter, sign = gc_bits_f32(x) & 0x80000000u;
    float r = gc_quarter_turns(__builtin_fabsf(x), &quarter);
    float s = gc_sin_reduced(r), c = gc_cos_reduced(r);
    int odd = (int)(quarter & 1u);
    float y = (odd ? c : s) / (odd ? -s : c);
    return gc_float_of(gc_bits_f32(y) ^ sign);
}

/* atan(t) for 0 <= t <= 1. */
GC_INLINE float gc_atan_inside(float t) {
    float z = t * t;
    float p = 0x1.23f926p-10f;
    p = p * z - 0x1.df96fep-8f;
    p = p * z + 0x1.714b16p-6f;
    p = p * z - 0x1.6e199ep-5f;
    p = p * z + 0x1.1422c6p-4f;
    p = p * z - 0x1.68e6fep-4f;
    p = p * z + 0x1.c4f1e2p-4f;
    p = p * z - 0x1.247374p-3f;
    p = p * z + 0x1.9997ep-3f;
    p = p * z - 0x1.555552p-2f;
    return t + t * z * p;
}

#define GC_HALF_PI 0x1.921fb6p0f
#define GC_HALF_PI_REST -0x1.777a5cp-25f
#define GC_PI 0x1.921fb6p1f
#define GC_PI_REST -0x1.777a5cp-24f

GC_INLINE float gc_atan_f32(float x) {
    float a = __builtin_fabsf(x);
    int outside = a > 1.0f;
    float y = gc_atan_inside(outside ? 1.0f / a : a);
    y = outside ? GC_HALF_PI - (y - GC_HALF_PI_REST) : y;
    return __builtin_copysignf(y, x);
}

GC_INLINE float gc_atan2_f32(float y, float x) {
    float b = __builtin_fabsf(y), a = __builtin_fabsf(x);
    int steep = b > a;
    float small = steep ? a : b, large = steep ? b : a;
    float t = small / large;
    t = large == 0.0f ? 0.0f : t;
    t = small == GC_INFINITY ? 1.0f : t;
    float r = gc_atan_inside(t);
    r = steep ? GC_HALF_PI - (r - GC_HALF_PI_REST) : r;
    r = (gc_bits_f32(x) >> 31) ? GC_PI - (r - GC_PI_REST) : r;
    r = ((x != x) | (y != y)) ? GC_NAN : r;
    return __builtin_copysignf(r, y);
}

/* asin(s) for 0 <= s <= 1/2, z = s^2. */
GC_INLINE float gc_asin_inside(float s, float z) {
    float p = 0x1.59862ap-5f;
    p = p * z + 0x1.8c0cb4p-6f;
    p = p * z + 0x1.7480ep-5f;
    p = p * z + 0x1.3301ccp-4f;
    p = p * z + 0x1.5555c8p-3f;
    return s + s * z * p;
}

/* asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)); the root is NaN outside [-1, 1]. */
GC_INLINE float gc_asin_f32(float x) {
    float a = __builtin_fabsf(x);
    int outer = a > 0.5f;
    float z = outer ? 0.5f * (1.0f - a) : a * a;
    float s = gc_asin_inside(outer ? __builtin_sqrtf(z) : a, z);
    float y = outer ? GC_HALF_PI - (2.0f * s - GC_HALF_PI_REST) : s;
    return __builtin_copysignf(y, x);
}

GC_INLINE float gc_acos_f32(float x) {
    float a = __builtin_fabsf(x);
    int outer = a > 0.5f, negative = x < 0.0f;
    float z = outer ? 0.5f * (1.0f - a) : a * a;
    float s = gc_asin_inside(outer ? __builtin_sqrtf(z) : a, z);
    float edge = negative ? GC_PI - (2.0f * s - GC_PI_REST) : 2.0f * s;
    float middle = GC_HALF_PI - ((negative ? -s : s) - GC_HALF_PI_REST);
    return outer ? edge : middle;
}

/* ------------------------------------------------------------------------------- float32: erf */

/* 1 - exp(a T(a)), which no cancellation reaches beyond 0.92; erf(4) rounds to 1. */
GC_INLINE float gc_erf_f32(float x) {
    float a = __builtin_fabsf(x), z = a * a;
    float p = 0x1.5f953ap-14f;
    p = p * z - 0x1.ab105cp-11f;
    p = p * z + 0x1.54df1ap-8f;
    p = p * z - 0x1.b810e8p-6f;
    p = p * z + 0x1.ce2e24p-4f;
    p = p * z - 0x1.812744p-2f;
    p = p * z + 0x1.06eba8p-3f;
    float b = a > 4.0f ? 4.0f : a;
    float t = 0x1.3cc9bcp-19f;
    t = t * b - 0x1.3acbfcp-15f;
    t = t * b + 0x1.f2c4f8p-13f;
    t = t * b - 0x1.31ec44p-11f;
    t = t * b - 0x1.b254d8p-10f;
    t = t * b + 0x1.593cep-6f;
    t = t * b - 0x1.aa1ae6p-4f;
    t = t * b - 0x1.45b642p-1f;
    t = t * b - 0x1.20e258p0f;
    gc_i32 n;
    float q = gc_exp_parts(t * b, &n);
    float scale = gc_two_to_the(n);
    float tail = (1.0f - scale) - scale * q;
    return __builtin_copysignf(a < 0.92f ? a + a * p : tail, x);
}

/* ------------------------------------------------------------------------------- float32: pow */

/* 2^(y log2|x|) in float64, where 40 bits of the logarithm are enough for one rounding. */
GC_INLINE float gc_pow_f32(float x, float y) {
    float a = __builtin_fabsf(x), e;
    double f = gc_log_parts(a, &e);
    double s = f / (2.0 + f), z = s * s;
    double p = 0x1.5cf588f8770ddp-2;
    p = p * z + 0x1.a58cd5440c4b3p-2;
    p = p * z + 0x1.277781613f8b6p-1;
    p = p * z + 0x1.ec709d10dd3b2p-1;
    p = p * z + 0x1.71547652bef86p+1;
    double log2 = s * p + (double)e;
    log2 = a == 0.0f ? -(double)GC_INFINITY : log2;
    log2 = a < GC_INFINITY ? log2 : (double)a;
    double t = (double)y * log2;
    t = t > 300.0 ? 300.0 : t;
    t = t < -300.0 ? -300.0 : t;
    double shifted = t + 0x1.8p52;
    double r = t - (shifted - 0x1.8p52);
    double q = 0x1.00f16444f72fbp-16;
    q = q * r + 0x1.445ea5f6f1179p-13;
    q = q * r + 0x1.5d8723fdaba58p-10;
    q = q * r + 0x1.3b29f14e0512ep-7;
    q = q * r + 0x1.c6b08df2fa996p-5;
    q = q * r + 0x1.ebfbe07963d9fp-3;
    q = q * r + 0x1.62e42fef7d208p-1;
    double scale = gc_double_of((gc_bits_f64(shifted) + 1023u) << 52);
    float power = (float)(scale + scale * (q * r));
    float half = 0.5f * y;
    int whole = __builtin_rintf(y) == y;
    int odd = whole & (__builtin_rintf(half) != half);
    gc_u32 sign = odd ? gc_bits_f32(x) & 0x80000000u : 0u;
    power = gc_float_of(gc_bits_f32(power) ^ sign);
    int imaginary = (x < 0.0f) & (a < GC_INFINITY) & !whole;
    power = imaginary ? GC_NAN : power;
    int one = (y == 0.0f) | (x == 1.0f) | ((x == -1.0f) & (__builtin_fabsf(y) == GC_INFINITY));
    return one ? 1.0f : power;
}

/* float32 squares neither overflow nor vanish in float64. */
GC_INLINE float gc_hypot_f32(float x, float y) {
    float root = (float)__builtin_sqrt((double)x * x + (double)y * y);
    int infinite = (__builtin_fabsf(x) == GC_INFINITY) | (__builtin_fabsf(y) == GC_INFINITY);
    return infinite ? GC_INFINITY : root;
}

/* ------------------------------------------------------------------------------------- float64 */

#include "gc_math_f64.h"

#define GC_LIBM(name)                                                                              \
    GC_INLINE double gc_##name##_f64(double x) { return __builtin_##name(x); }
GC_LIBM(asin)
GC_LIBM(acos)
GC_LIBM(atan)
#undef GC_LIBM

GC_INLINE double gc_atan2_f64(double y, double x) { return __builtin_atan2(y, x); }
GC_INLINE double gc_hypot_f64(double x, double y) { return __builtin_hypot(x, y); }
GC_INLINE double gc_lgamma_f64(double x) {
#if defined(_WIN32)
    return __builtin_lgamma(x);
#else
    int sign;
    return lgamma_r(x, &sign);
#endif
}

GC_INLINE float gc_erfc_f32(float x) { return (float)gc_erfc_f64((double)x); }

#include "../portable/gc_special.h"

#endif
