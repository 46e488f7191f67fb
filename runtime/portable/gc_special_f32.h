/* float32 special functions as straight-line code in float64, so that loops vectorise: the errors of
 * their polynomials are below 2^-28, and one rounding ends them. Included by
 * gc_special.h. */
#ifndef GC_SPECIAL_F32_H
#define GC_SPECIAL_F32_H

/* sin(pi f) / f, z = f^2 <= 1/4. */
GC_INLINE double gc_sinpi_near(double z) {
    double p = 0x1.9d1b8585e59b7p-21;
    p = p * z - 0x1.6f797703e284dp-16;
    p = p * z + 0x1.e8f35e9d2300ap-12;
    p = p * z - 0x1.e3074ddd1cb96p-8;
    p = p * z + 0x1.50783485190b6p-4;
    p = p * z - 0x1.32d2cce627542p-1;
    p = p * z + 0x1.466bc6775aa6ep+1;
    p = p * z - 0x1.4abbce625be52p+2;
    p = p * z + 0x1.921fb54442d18p+1;
    return p;
}

/* cos(pi f), z = f^2 <= 1/4. */
GC_INLINE double gc_cospi_near(double z) {
    double p = 0x1.1f86ad26d6b15p-23;
    p = p * z - 0x1.1e559979fadccp-18;
    p = p * z + 0x1.b267f405a1811p-14;
    p = p * z - 0x1.f309e7207d7b9p-10;
    p = p * z + 0x1.9f05cafeeabebp-6;
    p = p * z - 0x1.d4fcd83113f9cp-3;
    p = p * z + 0x1.472be12243483p+0;
    p = p * z - 0x1.de9e64df22ef3p+1;
    p = p * z + 4.0;
    return p * (0.25 - z);
}

/* psi(z) = psi(z + 8) - sum of 1 / (z + k); with u = z (z + 7) the terms k and 7 - k together are
 * (2z + 7) / (u + k (7 - k)). From 8 on log(z) - 1 / 2z - v P(v), v = 1 / z^2. Below 0 by
 * reflection: psi(x) = psi(1 - x) - pi / tan(pi x). */
GC_INLINE float gc_digamma_f32(float single) {
    double x = single;
    int negative = x < 0.0;
    double z = negative ? 1.0 - x : x;
    int small = z < 8.0;
    double near = small ? z : 1.0, u = near * (near + 7.0);
    double a = u * (u + 6.0), b = (u + 10.0) * (u + 12.0);
    double sum = (2.0 * near + 7.0) * ((2.0 * u + 6.0) * b + (2.0 * u + 22.0) * a) / (a * b);
    double w = small ? z + 8.0 : z, v = 1.0 / (w * w);
    double p = 0x1.04d0c0b4e6189p-4;
    p = p * v - 0x1.532852022a878p-6;
    p = p * v + 0x1.f0389fe460f7ap-8;
    p = p * v - 0x1.1110b4d0a9d49p-8;
    p = p * v + 0x1.041040c7a2c08p-8;
    p = p * v - 0x1.11111111099f9p-7;
    p = p * v + 0x1.5555555555555p-4;
    double y = gc_log_f64(w) - 0.5 / w - v * p - (small ? sum : 0.0);
    double f = x - gc_round_f64(x), square = f * f;
    double turn = 3.14159265358979323846 * gc_cospi_near(square) / (f * gc_sinpi_near(square));
    y = negative ? (f == 0.0 ? (double)GC_NAN : y - turn) : y;
    return (float)y;
}

/* log|gamma(a)| = log|gamma(a + 8)| - log of the product of a + k; from 8 on Stirling's formula with
 * P(v) / a, v = 1 / a^2. Below 0 gamma(-a) gamma(a) = -pi / (a sin(pi a)). */
GC_INLINE float gc_lgamma_f32(float single) {
    double x = single, a = gc_abs_f64(x);
    int negative = x < 0.0, small = a < 8.0;
    double near = small ? a : 1.0, u = near * (near + 7.0);
    double product = small ? u * (u + 6.0) * (u + 10.0) * (u + 12.0) : 1.0;
    double w = small ? a + 8.0 : a, v = 1.0 / (w * w);
    double p = 0x1.4c3829132c98bp-8;
    p = p * v - 0x1.ef980c25087d8p-10;
    p = p * v + 0x1.b92c938d403d2p-11;
    p = p * v - 0x1.38134e166afcdp-11;
    p = p * v + 0x1.a01a017e8adc5p-11;
    p = p * v - 0x1.6c16c16c14af7p-9;
    p = p * v + 0x1.5555555555555p-4;
    double far = (w - 0.5) * gc_log_f64(w) - w + 0x1.d67f1c864beb5p-1 + p / w;
    double f = x - gc_round_f64(x), sine = gc_abs_f64(f) * gc_sinpi_near(f * f);
    double rest = negative ? 3.14159265358979323846 * product / (a * sine) : 1.0 / product;
    double y = gc_log_f64(rest) + (negative ? -far : far);
    double t = x - 1.5; /* around the zeros at 1 and 2, which differences would miss */
    p = 0x1.2112b7f1ff5b4p-12;
    p = p * t - 0x1.6afd71198336dp-11;
    p = p * t + 0x1.aa6e43b6949b0p-11;
    p = p * t - 0x1.11ea45833de38p-10;
    p = p * t + 0x1.e864374a632f7p-10;
    p = p * t - 0x1.a865a18a2ea18p-9;
    p = p * t + 0x1.65d22ce2b0ac3p-8;
    p = p * t - 0x1.34c533794335ap-7;
    p = p * t + 0x1.132eb9d2bc3fcp-6;
    p = p * t - 0x1.007aead33c005p-5;
    p = p * t + 0x1.01af6e75308b4p-4;
    p = p * t - 0x1.2aed0560a057ap-3;
    p = p * t + 0x1.eeb95b0530177p-2;
    y = gc_abs_f64(x - 1.575) < 0.675 ? (x - 1.0) * (x - 2.0) * p + 0.0 : y; /* no -0 */
    return a == (double)GC_INFINITY ? GC_INFINITY : (float)y;
}

/* erfinv(x) / x is smooth in w = -log(1 - x^2), and far out in its root; 1 - x^2 is exact. */
GC_INLINE float gc_erfinv_f32(float x) {
    double w = -gc_log_f64(1.0 - (double)x * x), t = w - 3.0;
    double p = -0x1.cca5ff38197d7p-37;
    p = p * t + 0x1.b6b79c8941c5ep-36;
    p = p * t + 0x1.1b5f774e4eb5dp-30;
    p = p * t - 0x1.9f874a90f802cp-28;
    p = p * t - 0x1.8c1a0e655e1bdp-26;
    p = p * t + 0x1.e68264dfb55e0p-22;
    p = p * t - 0x1.d5de9e4ba4eefp-20;
    p = p * t - 0x1.aaf9db42fbb97p-17;
    p = p * t + 0x1.9914f5a7cdad2p-13;
    p = p * t - 0x1.b66511217ff3bp-11;
    p = p * t - 0x1.780df9d9884fdp-8;
    p = p * t + 0x1.eedbeb6591f9dp-3;
    p = p * t + 0x1.9fa072ee6ce31p+0;
    double near = p;
    t = gc_sqrt_f64(w) - 3.25;
    p = 0x1.293f62d8ccba3p-14;
    p = p * t - 0x1.6ce75e704857bp-15;
    p = p * t - 0x1.6d6ecba2c63ebp-12;
    p = p * t + 0x1.0355821d06946p-10;
    p = p * t - 0x1.bb82216ed51bep-10;
    p = p * t + 0x1.45812f8ee383ep-9;
    p = p * t - 0x1.eb9b6e62dbbaap-9;
    p = p * t + 0x1.6007b4d85ad8fp-8;
    p = p * t + 0x1.0158a685f207ap+0;
    p = p * t + 0x1.8abcc36f3d0d7p+1;
    return (float)(x * (w < 6.25 ? near : p));
}

#endif
