/* float64 functions of generated C as straight-line code, so that loops vectorise: exponentials,
 * logarithms, hyperbolic and trigonometric functions, erf and pow, within 4 units in the last
 * place, most within 2. Polynomials are near-minimax fits, whose errors are small beside those of
 * rounding. The other functions are those of the C library. But for the trigonometric ones, 64-bit
 * integers are only added and shifted left or without sign, which every SIMD instruction set has.
 * Included by gc_math.h. */
#ifndef GC_MATH_F64_H
#define GC_MATH_F64_H

/* ----------------------------------------------------------------------------- building blocks */

#define GC_SHIFT_F64 0x1.8p52

/* 2^n for -1022 <= n <= 1023, n in two's complement; any n is defined. */
GC_INLINE double gc_two_to_the_f64(gc_u64 n) { return gc_double_of((n + 1023u) << 52); }

/* x * 2^whole, rounded once when the result is subnormal; whole in [-2044, 2046]. */
GC_INLINE double gc_scale_f64(double x, double whole) {
    double shifted = 0.5 * whole + GC_SHIFT_F64;
    gc_u64 half = gc_bits_f64(shifted) - 0x4338000000000000u;
    gc_u64 n = gc_bits_f64(whole + GC_SHIFT_F64) - 0x4338000000000000u;
    return x * gc_two_to_the_f64(half) * gc_two_to_the_f64(n - half);
}

/* exp(r) - 1 for |r| <= 0.35. */
GC_INLINE double gc_expm1_near_f64(double r) {
    double p = 0x1.1f732ca1e4307p-29;
    p = p * r + 0x1.af4e31dbeb682p-26;
    p = p * r + 0x1.27e4db5089ca5p-22;
    p = p * r + 0x1.71de020ec9913p-19;
    p = p * r + 0x1.a01a01a6decfap-16;
    p = p * r + 0x1.a01a01abf2f91p-13;
    p = p * r + 0x1.6c16c16c162c9p-10;
    p = p * r + 0x1.11111111100c7p-7;
    p = p * r + 0x1.5555555555556p-5;
    p = p * r + 0x1.5555555555557p-3;
    p = p * r + 0.5;
    return r + r * r * p;
}

#define GC_LN2_HIGH 0x1.62e42fefa38p-1 /* 42 bits: times a whole number below 2^11 it is exact */
#define GC_LN2_LOW 0x1.ef35793c7673p-45

/* exp(x) = 2^whole * (1 + result), |x| < 2^10. */
GC_INLINE double gc_exp_parts_f64(double x, double *whole) {
    double shifted = x * 0x1.71547652b82fep0 + GC_SHIFT_F64;
    *whole = shifted - GC_SHIFT_F64;
    double r = x - *whole * GC_LN2_HIGH;
    return gc_expm1_near_f64(r - *whole * GC_LN2_LOW);
}

/* x = 2^e (1 + result) with the result in [sqrt(1/2) - 1, sqrt(2) - 1], x > 0 finite. */
GC_INLINE double gc_log_parts_f64(double x, double *e) {
    int subnormal = x < 0x1p-1022;
    gc_u64 bits = gc_bits_f64(subnormal ? x * 0x1p54 : x);
    gc_u64 biased = (bits + 0x00095f619980c433u) >> 52; /* 2^0 and sqrt(1/2) apart */
    *e = gc_double_of(biased | 0x4330000000000000u) - (subnormal ? 0x1p52 + 1077 : 0x1p52 + 1023);
    return gc_double_of(bits - ((biased - 1023u) << 52)) - 1.0;
}

/* e ln 2 + log(1 + f): log((1 + s) / (1 - s)) = 2s + s R(s^2) with s = f / (2 + f). */
GC_INLINE double gc_log_of_parts_f64(double f, double e) {
    double s = f / (2.0 + f), z = s * s;
    double p = 0x1.0f60ca53c3747p-3;
    p = p * z + 0x1.0f5d0fc31fc5ap-3;
    p = p * z + 0x1.3b20a817beb66p-3;
    p = p * z + 0x1.745cde4c15b8dp-3;
    p = p * z + 0x1.c71c7258ae547p-3;
    p = p * z + 0x1.249249242b8b4p-2;
    p = p * z + 0x1.9999999999dfbp-2;
    p = p * z + 0x1.5555555555555p-1;
    double half = 0.5 * f * f; /* 2s = f - s f */
    double tail = half - (s * (half + z * p) + e * GC_LN2_LOW);
    return e * GC_LN2_HIGH - (tail - f);
}

/* The values of a logarithm where x is not a positive finite number. */
GC_INLINE double gc_log_edges_f64(double x, double inside) {
    double y = x < (double)GC_INFINITY ? inside : x;
    y = x == 0.0 ? -(double)GC_INFINITY : y;
    return x < 0.0 ? (double)GC_NAN : y;
}

/* -------------------------------------------------------------------- exponentials, logarithms */

GC_INLINE double gc_exp_f64(double x) {
    x = x > 710.0 ? 710.0 : x;
    x = x < -746.0 ? -746.0 : x;
    double whole, q = gc_exp_parts_f64(x, &whole);
    return gc_scale_f64(1.0 + q, whole);
}

GC_INLINE double gc_exp2_f64(double x) {
    x = x > 1025.0 ? 1025.0 : x;
    x = x < -1076.0 ? -1076.0 : x;
    double whole = x + GC_SHIFT_F64 - GC_SHIFT_F64;
    return gc_scale_f64(1.0 + gc_expm1_near_f64((x - whole) * 0x1.62e42fefa39efp-1), whole);
}

/* exp(x) - 1 for x < 710 (larger and NaN included); exact sign of zero is left to the caller. */
GC_INLINE double gc_expm1_inside_f64(double x) {
    double whole, q = gc_exp_parts_f64(x, &whole);
    double half = gc_scale_f64(0.5, whole); /* 2^1024 would not fit */
    return 2.0 * (half * q + (half - 0.5));
}

GC_INLINE double gc_expm1_f64(double x) {
    double inside = x > 710.0 ? 710.0 : x;
    inside = inside < -40.0 ? -40.0 : inside;
    double y = gc_expm1_inside_f64(inside);
    return __builtin_fabs(x) < 0x1p-54 ? x : y;
}

GC_INLINE double gc_log_f64(double x) {
    double e, f = gc_log_parts_f64(x, &e);
    return gc_log_edges_f64(x, gc_log_of_parts_f64(f, e));
}

GC_INLINE double gc_log2_f64(double x) {
    double e, f = gc_log_parts_f64(x, &e);
    return gc_log_edges_f64(x, e + gc_log_of_parts_f64(f, 0.0) * 0x1.71547652b82fep0);
}

GC_INLINE double gc_log10_f64(double x) {
    double e, f = gc_log_parts_f64(x, &e);
    double low = gc_log_of_parts_f64(f, 0.0) * 0x1.bcb7b1526e50ep-2 + e * 0x1.3fde623e2566bp-43;
    return gc_log_edges_f64(x, low + e * 0x1.34413509f7p-2);
}

/* As for float32: f = x 2^-k + (2^-k - 1) is exact but for one rounding, unlike 1 + x. */
GC_INLINE double gc_log1p_f64(double x) {
    double u = 1.0 + x;
    gc_u64 bits = gc_bits_f64(u);
    gc_u64 biased = (bits + 0x00095f619980c433u) >> 52;
    double k = gc_double_of(biased | 0x4330000000000000u) - (0x1p52 + 1023);
    double scale = gc_double_of((2046u - biased) << 52);
    double near = scale * x + (scale - 1.0);
    double far = gc_double_of(bits - ((biased - 1023u) << 52)) - 1.0;
    double y = gc_log_of_parts_f64(k > 53.0 ? far : near, k);
    y = __builtin_fabs(x) < 0x1p-54 ? x : y;
    y = x < (double)GC_INFINITY ? y : x;
    y = x == -1.0 ? -(double)GC_INFINITY : y;
    return x < -1.0 ? (double)GC_NAN : y;
}

GC_INLINE double gc_sigmoid_f64(double x) {
    double e = gc_exp_f64(-__builtin_fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

/* -------------------------------------------------------------------------------- hyperbolic */

GC_INLINE double gc_tanh_f64(double x) {
    double a = __builtin_fabs(x);
    a = a > 20.0 ? 20.0 : a;
    double t = gc_expm1_inside_f64(2.0 * a);
    double y = t / (t + 2.0);
    return __builtin_copysign(a < 0x1p-28 ? a : y, x);
}

/* exp(a) / 2 where exp(a) itself may overflow; a >= 0 or NaN. */
GC_INLINE double gc_half_exp_f64(double a) {
    double whole, q = gc_exp_parts_f64(a > 712.0 ? 712.0 : a, &whole);
    return gc_scale_f64(1.0 + q, whole - 1.0);
}

GC_INLINE double gc_sinh_f64(double x) {
    double a = __builtin_fabs(x), z = a * a;
    double p = 0x1.b4cf4f81b144ep-41;
    p = p * z + 0x1.611a3acb90c51p-33;
    p = p * z + 0x1.ae64676468c81p-26;
    p = p * z + 0x1.71de3a45fa66cp-19;
    p = p * z + 0x1.a01a01a0291adp-13;
    p = p * z + 0x1.11111111110a1p-7;
    p = p * z + 0x1.5555555555556p-3;
    double half = gc_half_exp_f64(a);
    double large = half - 0.25 / half;
    return __builtin_copysign(a < 1.0 ? a + a * z * p : large, x);
}

GC_INLINE double gc_cosh_f64(double x) {
    double half = gc_half_exp_f64(__builtin_fabs(x));
    return half + 0.25 / half;
}

/* asinh(a) = log1p(a + a^2 / (1 + sqrt(1 + a^2))); log(2a) where a^2 would overflow. */
GC_INLINE double gc_asinh_f64(double x) {
    double a = __builtin_fabs(x), z = a * a;
    int large = a > 0x1p54;
    double y = gc_log1p_f64(large ? a : a + z / (1.0 + __builtin_sqrt(1.0 + z)));
    return __builtin_copysign(y + (large ? 0x1.62e42fefa39efp-1 : 0.0), x);
}

GC_INLINE double gc_acosh_f64(double x) {
    double t = x - 1.0;
    int large = x > 0x1p54;
    double y = gc_log1p_f64(large ? x : t + __builtin_sqrt(t * (x + 1.0)));
    return x < 1.0 ? (double)GC_NAN : y + (large ? 0x1.62e42fefa39efp-1 : 0.0);
}

GC_INLINE double gc_atanh_f64(double x) {
    double a = __builtin_fabs(x);
    return __builtin_copysign(0.5 * gc_log1p_f64(2.0 * a / (1.0 - a)), x);
}

/* ------------------------------------------------------------------------------ trigonometric */

/* Reducing an argument takes lookups and 64-bit products, which only AVX-512 has for vectors; one
 * at a time the library is faster. */
#if defined(__AVX512DQ__)

/* 2/pi in pieces of 32 bits, after three of its integer part. */
static const gc_u64 gc_two_over_pi[] __attribute__((unused)) = {
    0, 0, 0, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
    0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu,
    0xb129a73eu, 0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u,
    0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu, 0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu,
    0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau,
    0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u,
};

#define GC_LOW32(x) ((x) & 0xffffffffu)

/* One piece of a product of whole numbers, and what it carries to the next. */
GC_INLINE gc_u64 gc_word_of_product(
    gc_u64 m0, gc_u64 m1, gc_u64 m2, const gc_u64 *limb, gc_u64 *carry) {
    gc_u64 p0 = m0 * limb[0], p1 = m1 * limb[1], p2 = m2 * limb[2];
    gc_u64 sum = *carry + GC_LOW32(p0) + GC_LOW32(p1) + GC_LOW32(p2);
    *carry = (sum >> 32) + (p0 >> 32) + (p1 >> 32) + (p2 >> 32);
    return GC_LOW32(sum);
}

/* a = (quarter + 2 r / pi) quarter turns modulo 4, |r| <= pi/4, for any finite a >= 0.
 *
 * a is a whole number m times a power of 2, and its product with 2/pi is taken in whole numbers
 * (Payne and Hanek 1983): m, shifted to whole pieces m2 m1 m0 of 32 bits, times the pieces of 2/pi
 * from where the product is below 4 and 128 bits on. These suffice: no float64 comes closer to a
 * multiple of pi/2 than 2^-62. */
GC_INLINE double gc_quarter_turns_f64(double a, gc_u64 *quarter) {
    int near = a < 0x1.921fb54442d18p-1;
    gc_u64 bits = gc_bits_f64(near ? 1.0 : a);
    gc_u64 place = (bits >> 52) - 1011u, shift = place & 31u;
    const gc_u64 *limb = gc_two_over_pi + (place >> 5);
    gc_u64 m = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    gc_u64 low = GC_LOW32(m) << shift, high = (m >> 32) << shift;
    gc_u64 m0 = GC_LOW32(low), m1 = (low >> 32) + GC_LOW32(high), m2 = high >> 32;
    gc_u64 carry = ((m0 * limb[5]) >> 32) + ((m1 * limb[6]) >> 32) + ((m2 * limb[7]) >> 32);
    gc_u64 word4 = gc_word_of_product(m0, m1, m2, limb + 4, &carry);
    gc_u64 word3 = gc_word_of_product(m0, m1, m2, limb + 3, &carry);
    gc_u64 word2 = gc_word_of_product(m0, m1, m2, limb + 2, &carry);
    gc_u64 word1 = gc_word_of_product(m0, m1, m2, limb + 1, &carry);
    gc_u64 word0 = gc_word_of_product(m0, m1, m2, limb, &carry);
    *quarter = near ? 0u : word0 + (word1 >> 31);
    /* The fraction, less 1 from one half on: 32 bits become a float64 as its lowest bits. */
    double f1 = gc_double_of((word1 ^ 0x80000000u) | 0x4330000000000000u) - (0x1p52 + 0x1p31);
    double f2 = gc_double_of(word2 | 0x4330000000000000u) - 0x1p52;
    double f3 = gc_double_of(word3 | 0x4330000000000000u) - 0x1p52;
    double f4 = gc_double_of(word4 | 0x4330000000000000u) - 0x1p52;
    double first = f1 * 0x1p-32, second = f2 * 0x1p-64, sum = first + second, part = sum - first;
    double rest = (first - (sum - part)) + (second - part);
    double r = (sum + (rest + (f3 * 0x1p-96 + f4 * 0x1p-128))) * 0x1.921fb54442d18p0;
    return near ? a : r;
}

GC_INLINE double gc_sin_reduced_f64(double r) {
    double z = r * r;
    double p = 0x1.5d87729b00864p-33;
    p = p * z - 0x1.ae5e4c543859ap-26;
    p = p * z + 0x1.71de356f6ebb9p-19;
    p = p * z - 0x1.a01a019c30b49p-13;
    p = p * z + 0x1.111111110fb50p-7;
    p = p * z - 0x1.555555555554dp-3;
    return r + r * z * p;
}

GC_INLINE double gc_cos_reduced_f64(double r) {
    double z = r * r;
    double p = -0x1.8fbdbd2b4d87ap-37;
    p = p * z + 0x1.1eea0ba623b0cp-29;
    p = p * z - 0x1.27e4f83d4f9f8p-22;
    p = p * z + 0x1.a01a019d014fap-16;
    p = p * z - 0x1.6c16c16c15523p-10;
    p = p * z + 0x1.555555555554ep-5;
    return 1.0 - 0.5 * z + z * z * p;
}

/* sin(r + quarter * pi/2); NaN where x is not finite. */
GC_INLINE double gc_sin_of_quarters_f64(double x, double r, gc_u64 quarter) {
    double y = (quarter & 1u) ? gc_cos_reduced_f64(r) : gc_sin_reduced_f64(r);
    y = gc_double_of(gc_bits_f64(y) ^ ((quarter & 2u) << 62));
    return __builtin_fabs(x) < (double)GC_INFINITY ? y : (double)GC_NAN;
}

GC_INLINE double gc_sin_f64(double x) {
    gc_u64 quarter, sign = gc_bits_f64(x) & 0x8000000000000000u;
    double r = gc_quarter_turns_f64(__builtin_fabs(x), &quarter);
    return gc_double_of(gc_bits_f64(gc_sin_of_quarters_f64(x, r, quarter)) ^ sign);
}

GC_INLINE double gc_cos_f64(double x) {
    gc_u64 quarter;
    double r = gc_quarter_turns_f64(__builtin_fabs(x), &quarter);
    return gc_sin_of_quarters_f64(x, r, quarter + 1u);
}

GC_INLINE double gc_tan_f64(double x) {
    gc_u64 quarter, sign = gc_bits_f64(x) & 0x8000000000000000u;
    double r = gc_quarter_turns_f64(__builtin_fabs(x), &quarter);
    double s = gc_sin_reduced_f64(r), c = gc_cos_reduced_f64(r);
    int odd = (int)(quarter & 1u);
    double y = (odd ? c : s) / (odd ? -s : c);
    y = __builtin_fabs(x) < (double)GC_INFINITY ? y : (double)GC_NAN;
    return gc_double_of(gc_bits_f64(y) ^ sign);
}

#else

GC_INLINE double gc_sin_f64(double x) { return __builtin_sin(x); }
GC_INLINE double gc_cos_f64(double x) { return __builtin_cos(x); }
GC_INLINE double gc_tan_f64(double x) { return __builtin_tan(x); }

#endif

/* ---------------------------------------------------------------------------------------- erf */

/* erf(a) / a in z = a^2 <= 1. */
GC_INLINE double gc_erf_near_f64(double z) {
    double p = 0x1.0613987edce0dp-34;
    p = p * z - 0x1.38a4b8db8a7c5p-30;
    p = p * z + 0x1.f7b72e5bcd4ffp-27;
    p = p * z - 0x1.5f1f0634fb062p-23;
    p = p * z + 0x1.b9df2954a9147p-20;
    p = p * z - 0x1.f4d1e3a67dc3ep-17;
    p = p * z + 0x1.f9a321dd3898cp-14;
    p = p * z - 0x1.c02db3db06d60p-11;
    p = p * z + 0x1.565bcd0dbc1adp-8;
    p = p * z - 0x1.b82ce31284e9cp-6;
    p = p * z + 0x1.ce2f21a042b32p-4;
    p = p * z - 0x1.812746b0379e6p-2;
    p = p * z + 0x1.20dd750429b6dp+0;
    return p;
}

/* erfc(a) for 1 <= a <= 28: exp(-a^2) / (1 + 2a) times a polynomial in (a - 4) / (a + 2). The square
 * is taken in two parts, the first of which is exact, so that the exponent loses no bits. */
GC_INLINE double gc_erfc_far_f64(double a) {
    double t = (a - 4.0) / (a + 2.0);
    double p = -0x1.5a20a93891d48p-33;
    p = p * t - 0x1.1e4598d54baddp-32;
    p = p * t + 0x1.750c36366526cp-30;
    p = p * t + 0x1.e300cb7044af5p-29;
    p = p * t - 0x1.49e19c80a46c6p-28;
    p = p * t - 0x1.cff7b69c2f8e4p-26;
    p = p * t - 0x1.08d664df4bf1dp-28;
    p = p * t + 0x1.5c719624a55f0p-23;
    p = p * t + 0x1.b87439a071c9cp-23;
    p = p * t - 0x1.dedc895fd6b6dp-21;
    p = p * t - 0x1.2891a29f7972fp-19;
    p = p * t + 0x1.6214dd1316c38p-18;
    p = p * t + 0x1.4ea64d559fcfep-16;
    p = p * t - 0x1.683b7156decd2p-15;
    p = p * t - 0x1.709e03da6aeeap-13;
    p = p * t + 0x1.2c9667b3a9c69p-11;
    p = p * t + 0x1.34fa9267bb3d0p-10;
    p = p * t - 0x1.560155666a893p-7;
    p = p * t + 0x1.b253c730e58b2p-6;
    p = p * t - 0x1.1f2d5ccaf7fb3p-6;
    p = p * t - 0x1.acea839fef3c9p-4;
    p = p * t + 0x1.3ba5916e9fd7fp+0;
    double high = (double)(float)a;
    double low = (high - a) * (high + a);
    double whole, q = gc_exp_parts_f64(-high * high, &whole);
    double more = low + low * low * (0.5 + low * 0x1.5555555555555p-3);
    double e = 1.0 + (q + (1.0 + q) * more);
    return gc_scale_f64(e * (p / (1.0 + 2.0 * a)), whole);
}

GC_INLINE double gc_erf_f64(double x) {
    double a = __builtin_fabs(x);
    double far = 1.0 - gc_erfc_far_f64(a > 6.0 ? 6.0 : a < 1.0 ? 1.0 : a);
    return __builtin_copysign(a < 1.0 ? a * gc_erf_near_f64(a * a) : far, x);
}

GC_INLINE double gc_erfc_f64(double x) {
    double a = __builtin_fabs(x);
    double far = gc_erfc_far_f64(a > 28.0 ? 28.0 : a < 1.0 ? 1.0 : a);
    far = x < 0.0 ? 2.0 - far : far;
    return a < 1.0 ? 1.0 - x * gc_erf_near_f64(a * a) : far;
}

/* ---------------------------------------------------------------------------------------- pow */

/* The upper 26 bits. */
GC_INLINE double gc_upper_f64(double x) {
    return gc_double_of(gc_bits_f64(x) & 0xfffffffff8000000u);
}

/* What a product lacks: a b = product + result (Dekker 1971), whatever rounding made the product. */
GC_INLINE double gc_product_rest_f64(double a, double b, double product) {
    double a1 = gc_upper_f64(a), b1 = gc_upper_f64(b), a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
}

/* exp(y log|x|) with the logarithm and its product in two parts each, high and low, of which the
 * low one continues the bits of the high one. */
GC_INLINE double gc_pow_f64(double x, double y) {
    double a = __builtin_fabs(x), e, f = gc_log_parts_f64(a, &e);
    /* s = f / (2 + f) */
    double below = 2.0 + f, below_low = f - (below - 2.0);
    double s = f / below, product = gc_upper_f64(s * below);
    double s_low = (f - product - gc_product_rest_f64(s, below, product) - s * below_low) / below;
    /* log(1 + f) = 2s + s z (2/3 + z P(z)), z = s^2 */
    double square = s * s, z = gc_upper_f64(square);
    double z_low = gc_product_rest_f64(s, s, z) + 2.0 * s * s_low;
    double p = 0x1.0e41cd4848770p-3;
    p = p * square + 0x1.0f8003f908b24p-3;
    p = p * square + 0x1.3b1eeac926c64p-3;
    p = p * square + 0x1.745ce9eb3480ep-3;
    p = p * square + 0x1.c71c722d4c5c2p-3;
    p = p * square + 0x1.2492492457eaep-2;
    p = p * square + 0x1.9999999999b2fp-2;
    p = p * square + 0x1.5555555555555p-55;
    double c = gc_upper_f64(0x1.5555555555555p-1 + p), c_low = (0x1.5555555555555p-1 - c) + p;
    double v = gc_upper_f64(z * c);
    double v_low = gc_product_rest_f64(z, c, v) + z * c_low + z_low * (c + c_low);
    double u = gc_upper_f64(s * v), u_low = gc_product_rest_f64(s, v, u) + s * v_low + s_low * v;
    /* e ln 2 (exact in its high part) + 2s + u; each sum with what it lacks (Knuth). */
    double ln = e * GC_LN2_HIGH, twice = 2.0 * s;
    double first = ln + twice, part = first - ln;
    double rest = (ln - (first - part)) + (twice - part);
    double second = first + u, other = second - first;
    rest += (first - (second - other)) + (u - other);
    rest += u_low + 2.0 * s_low + e * GC_LN2_LOW;
    double log = gc_upper_f64(second + rest), log_low = (second - log) + rest;
    /* Beyond 2^64 any |x| but 1 overflows or vanishes. */
    double power = y > 0x1p64 ? 0x1p64 : y;
    power = power < -0x1p64 ? -0x1p64 : power;
    double t = gc_upper_f64(power * log);
    double t_low = gc_product_rest_f64(power, log, t) + power * log_low;
    t_low = __builtin_fabs(t) > 750.0 ? 0.0 : t_low;
    t = t > 712.0 ? 712.0 : t;
    t = t < -750.0 ? -750.0 : t;
    double whole, q = gc_exp_parts_f64(t, &whole);
    double more = t_low + t_low * t_low * (0.5 + t_low * 0x1.5555555555555p-3);
    double result = gc_scale_f64(1.0 + (q + (1.0 + q) * more), whole);
    /* 0, infinity and NaN have no logarithm. */
    int up = (a == 0.0) == (y < 0.0);
    double end = up ? (double)GC_INFINITY : 0.0;
    result = (a == 0.0) | (a == (double)GC_INFINITY) ? end : result;
    int whole_power = __builtin_rint(y) == y;
    int odd = whole_power & (__builtin_rint(0.5 * y) != 0.5 * y);
    int imaginary = (x < 0.0) & (a < (double)GC_INFINITY) & !whole_power;
    gc_u64 sign = odd ? gc_bits_f64(x) & 0x8000000000000000u : 0u;
    result = gc_double_of(gc_bits_f64(result) ^ sign);
    result = imaginary | (x != x) | (y != y) ? (double)GC_NAN : result;
    int one = (y == 0.0) | (x == 1.0) | ((x == -1.0) & (__builtin_fabs(y) == (double)GC_INFINITY));
    return one ? 1.0 : result;
}

#endif
