/* Incomplete gamma functions, the zeta function and scaled error functions, in double precision;
 * float32 is rounded once from it. Included by gc_special.h. */
#ifndef GC_GAMMA_H
#define GC_GAMMA_H

/* ------------------------------------------------------------------------------ zeta, polygamma */

/* The sum of (q + n)^-s over n >= 0: its first terms, and Euler-Maclaurin for the rest from where
 * q exceeds s + 10 (so that the terms with Bernoulli numbers fall fast). As PyTorch: infinity at
 * s = 1 and at the poles q = 0, -1, ...; NaN for s < 1 and for powers of negative numbers that are
 * not whole. */
GC_FUNCTION double gc_zeta_f64(double s, double q) {
    const double bernoulli[12] = {/* B(2k) / (2k)! */
                                  1.0 / 12.0,
                                  -1.0 / 720.0,
                                  1.0 / 30240.0,
                                  -1.0 / 1209600.0,
                                  1.0 / 47900160.0,
                                  -691.0 / 1307674368000.0,
                                  1.0 / 74724249600.0,
                                  -3617.0 / 10670622842880000.0,
                                  43867.0 / 5109094217170944000.0,
                                  -174611.0 / 802857662698291200000.0,
                                  77683.0 / 14101100039391805440000.0,
                                  -236364091.0 / 1693824136731743669452800000.0};
    if (s != s || q != q || s < 1.0) return (double)GC_NAN;
    if (s == 1.0) return (double)GC_INFINITY;
    if (q <= 0.0) {
        if (q == gc_floor_f64(q)) return (double)GC_INFINITY;
        if (s != gc_floor_f64(s)) return (double)GC_NAN;
    }
    if (q == (double)GC_INFINITY) return 0.0;
    if (s == (double)GC_INFINITY) return q > 1.0 ? 0.0 : q == 1.0 ? 1.0 : (double)GC_INFINITY;
    double total = 0.0, from = 10.0 + s;
    for (; q < from; q += 1.0) {
        double term = gc_pow_f64(q, -s);
        total += term;
        if (q > 1.0 && term <= 1e-17 * total) return total;
        if (q < -1e6) return (double)GC_NAN; /* too far from the poles to sum */
    }
    double power = gc_pow_f64(q, -s);
    total += power * q / (s - 1.0) + 0.5 * power;
    double rising = s;
    power /= q;
    for (int k = 0; k < 12; ++k) {
        double term = bernoulli[k] * rising * power;
        total += term;
        if (gc_abs_f64(term) <= 1e-17 * total) break;
        rising *= (s + 2.0 * k + 1.0) * (s + 2.0 * k + 2.0);
        power /= q * q;
    }
    return total;
}

/* The n-th derivative of digamma: (-1)^(n+1) n! zeta(n + 1, x). */
GC_FUNCTION double gc_polygamma_f64(int n, double x) {
    if (n == 0) return gc_digamma_f64(x);
    double factorial = n % 2 ? 1.0 : -1.0;
    for (int k = 2; k <= n; ++k) factorial *= k;
    return factorial * gc_zeta_f64(n + 1.0, x);
}

/* ----------------------------------------------------------------------------- incomplete gamma */

/* log(1 + u) - u without cancellation: with r = u / (2 + u) it is 2 atanh(r) - u, and
 * 2 r - u = -u r. For |u| < 1. */
GC_FUNCTION double gc_log1p_minus(double u) {
    double r = u / (2.0 + u), square = r * r, power = 1.0, series = 0.0;
    for (int k = 3; k < 80; k += 2) {
        series += power / k;
        power *= square;
        if (power < 1e-18) break;
    }
    return 2.0 * r * square * series - u * r;
}

/* The correction of Stirling's formula: log gamma(a + 1) - (a + 1/2) log a + a - log(2 pi) / 2. */
GC_FUNCTION double gc_stirling(double a) {
    double z = 1.0 / (a * a);
    double series = 43867.0 / 244188.0;
    series = series * z - 3617.0 / 122400.0;
    series = series * z + 1.0 / 156.0;
    series = series * z - 691.0 / 360360.0;
    series = series * z + 1.0 / 1188.0;
    series = series * z - 1.0 / 1680.0;
    series = series * z + 1.0 / 1260.0;
    series = series * z - 1.0 / 360.0;
    series = series * z + 1.0 / 12.0;
    return series / a;
}

/* x^a exp(-x) / gamma(a + 1). */
GC_FUNCTION double gc_gamma_weight(double a, double x) {
    if (a < 8.0) return gc_exp_f64(a * gc_log_f64(x) - x - gc_lgamma_f64(a + 1.0));
    double u = (x - a) / a;
    double exponent = gc_abs_f64(u) < 0.5 ? a * gc_log1p_minus(u) : a * gc_log_f64(x / a) - (x - a);
    return gc_exp_f64(exponent - gc_stirling(a)) / (2.50662827463100050242 * gc_sqrt_f64(a));
}

/* log gamma(1 + a) for |a| <= 0.2, where 1 + a would lose what matters: the zeta series. */
GC_FUNCTION double gc_lgamma1p_small(double a) {
    double total = 0.0, power = -a;
    for (int k = 2; k < 24; ++k) {
        power *= -a;
        total += power * gc_zeta_f64(k, 1.0) / k;
        if (gc_abs_f64(power) < 1e-19 * gc_abs_f64(a)) break;
    }
    return total - 0.57721566490153286061 * a;
}

/* P by its power series (Abramowitz and Stegun 6.5.29): positive terms. */
GC_FUNCTION double gc_gamma_series(double a, double x) {
    double weight = gc_gamma_weight(a, x), term = 1.0, total = 1.0;
    if (weight == 0.0) return 0.0;
    for (int n = 1; n < 20000; ++n) {
        term *= x / (a + n);
        total += term;
        if (term < 1e-17 * total) break;
    }
    return weight * total;
}

/* Q by Legendre's continued fraction (6.5.31), evaluated by Lentz' method. */
GC_FUNCTION double gc_gamma_fraction(double a, double x) {
    double weight = gc_gamma_weight(a, x) * a;
    if (weight == 0.0) return 0.0;
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, h = d;
    for (int n = 1; n < 20000; ++n) {
        double an = -n * (n - a);
        b += 2.0;
        d = an * d + b;
        d = 1.0 / (d == 0.0 ? 1e-300 : d);
        c = b + an / c;
        c = c == 0.0 ? 1e-300 : c;
        h *= c * d;
        if (gc_abs_f64(c * d - 1.0) < 1e-16) break;
    }
    return weight * h;
}

/* Q for x <= 1.1, where 1 - P would cancel: 1 - x^a / gamma(1 + a) and the rest of the series. */
GC_FUNCTION double gc_gamma_small(double a, double x) {
    double total = 0.0, power = 1.0;
    for (int n = 1; n < 60; ++n) {
        power *= -x / n;
        double term = power / (a + n);
        total += term;
        if (gc_abs_f64(term) < 1e-18 * gc_abs_f64(total)) break;
    }
    double log = a <= 0.2 ? gc_lgamma1p_small(a) : gc_lgamma_f64(a + 1.0);
    double exponent = a * gc_log_f64(x) - log;
    return -gc_expm1_f64(exponent) - gc_exp_f64(exponent) * a * total;
}

/* P or Q near x = a of a large a: Temme's uniform expansion (SIAM J. Math. Anal. 10, 1979), whose
 * coefficients are needed only close to eta = 0. */
GC_FUNCTION double gc_gamma_uniform(double a, double x, int upper) {
    double u = (x - a) / a, eta = gc_sqrt_f64(-2.0 * gc_log1p_minus(u));
    eta = u < 0.0 ? -eta : eta;
    double c0 = -1.0 / 3.0 +
                eta * (1.0 / 12.0 +
                       eta * (-2.0 / 135.0 +
                              eta * (1.0 / 864.0 + eta * (1.0 / 2835.0 - eta * 139.0 / 777600.0))));
    double c1 = -1.0 / 540.0 + eta * (-1.0 / 288.0 + eta / 378.0);
    double tail = gc_exp_f64(-0.5 * a * eta * eta) / (2.50662827463100050242 * gc_sqrt_f64(a));
    double side = upper ? 1.0 : -1.0;
    return 0.5 * gc_erfc_f64(side * eta * gc_sqrt_f64(0.5 * a)) + side * tail * (c0 + c1 / a);
}

/* Regularised: P (upper 0) or Q (upper 1), each from the one of them that is computed well. */
GC_FUNCTION double gc_gamma_part(double a, double x, int upper) {
    if (a != a || x != x || a < 0.0 || x < 0.0) return (double)GC_NAN;
    if (a == 0.0) return x > 0.0 ? 1.0 - upper : (double)GC_NAN;
    if (x == 0.0) return upper;
    int endless = a == (double)GC_INFINITY;
    if (x == (double)GC_INFINITY) return endless ? (double)GC_NAN : 1.0 - upper;
    if (endless) return upper;
    int complement; /* whether the value at hand is Q */
    double value;
    if (a > 1e6 && gc_abs_f64(x - a) < 0.01 * a) return gc_gamma_uniform(a, x, upper);
    if (x <= 1.1 && (x > 0.5 ? x * 1.1 >= a : -0.4 / gc_log_f64(x) >= a)) {
        value = gc_gamma_small(a, x);
        complement = 1;
    } else if (x <= 1.1 || x <= a) {
        value = gc_gamma_series(a, x);
        complement = 0;
    } else {
        value = gc_gamma_fraction(a, x);
        complement = 1;
    }
    return complement == upper ? value : 1.0 - value;
}

GC_FUNCTION double gc_gammainc_f64(double a, double x) { return gc_gamma_part(a, x, 0); }
GC_FUNCTION double gc_gammaincc_f64(double a, double x) { return gc_gamma_part(a, x, 1); }

/* --------------------------------------------------------------------------- error functions */

/* exp(x^2) erfc(x): a Chebyshev fit of (1 + 2 x) times it in (x - 4) / (x + 2) from 1 on. */
GC_FUNCTION double gc_erfcx_f64(double x) {
    if (x < 1.0) {
        double high = (double)(float)x; /* so that the square is exact */
        double square = gc_exp_f64(high * high) * gc_exp_f64((x - high) * (x + high));
        return x < -26.7 ? (double)GC_INFINITY : square * gc_erfc_f64(x);
    }
    const double fit[22] = {
        -1.5740060103197056e-10, -2.603627429374203e-10, 1.3571396346990198e-09,
        3.5143101138666085e-09,  -4.800404629914135e-09, -2.7006470491120497e-08,
        -3.853892510064532e-09,  1.6225674061692788e-07, 2.05102378648805e-07,
        -8.919489964219459e-07,  -2.209610400194255e-06, 5.27622548237698e-06,
        1.9946671577117548e-05,  -4.294302441728574e-05, -0.00017577040018800584,
        0.0005733251950531651,   0.0011786605700152449,  -0.010437170695542874,
        0.02650923206564277,     -0.01752790509988218,   -0.10471583763042171,
        1.2329951186255526};
    if (!(x < 1e15)) return 0.56418958354775628695 / x;
    double t = (x - 4.0) / (x + 2.0), total = fit[0];
    for (int k = 1; k < 22; ++k) total = total * t + fit[k];
    return total / (1.0 + 2.0 * x);
}

/* log of the normal distribution function, which underflows in the left tail. The square of x is
 * split in two parts, of which the first is exact. */
GC_FUNCTION double gc_log_ndtr_f64(double x) {
    double a = gc_abs_f64(x);
    if (!(a > 1.0)) return gc_log1p_f64(-0.5 * gc_erfc_f64(x * 0.70710678118654752440));
    if (x > 40.0) return -0.0;
    if (x == -(double)GC_INFINITY) return x;
    double scaled = 0.5 * gc_erfcx_f64(a * 0.70710678118654752440);
    double high = (double)(float)a, rest = 0.5 * (a - high) * (a + high);
    if (a > 1e15) high = a, rest = 0.0;
    if (x < 0.0) return gc_log_f64(scaled) - 0.5 * high * high - rest;
    return gc_log1p_f64(-scaled * gc_exp_f64(-0.5 * high * high) * gc_exp_f64(-rest));
}

/* Inverse of the normal distribution function: erfinv in the middle, in the tails Newton's method
 * on its logarithm, which is nearly a parabola. */
GC_FUNCTION double gc_ndtri_f64(double p) {
    if (!(p > 0.0 && p < 1.0)) {
        double end = p == 0.0 ? -(double)GC_INFINITY : (double)GC_INFINITY;
        return p == 0.0 || p == 1.0 ? end : (double)GC_NAN;
    }
    if (p > 0.25 && p < 0.75) return 1.41421356237309504880 * gc_erfinv_f64(2.0 * p - 1.0);
    double tail = p < 0.5 ? p : 1.0 - p, log = gc_log_f64(tail);
    double x = gc_sqrt_f64(-2.0 * log);
    x -= (gc_log_f64(x) + 0.91893853320467274178) / x; /* log(x sqrt(2 pi)) */
    x = gc_max_f64(x, 0.5);
    for (int step = 0; step < 5; ++step) {
        double scaled = gc_erfcx_f64(x * 0.70710678118654752440);
        double error = gc_log_f64(0.5 * scaled) - 0.5 * x * x - log;
        x += error * scaled * 1.25331413731550025121; /* over the slope -sqrt(2 / pi) / scaled */
    }
    return p < 0.5 ? -x : x;
}

#define GC_ROUNDED(name)                                                                           \
    GC_INLINE float gc_##name##_f32(float x) { return (float)gc_##name##_f64((double)x); }
#define GC_ROUNDED2(name)                                                                          \
    GC_INLINE float gc_##name##_f32(float x, float y) {                                            \
        return (float)gc_##name##_f64((double)x, (double)y);                                       \
    }
GC_ROUNDED(erfcx)
GC_ROUNDED(log_ndtr)
GC_ROUNDED(ndtri)
GC_ROUNDED2(zeta)
GC_ROUNDED2(gammainc)
GC_ROUNDED2(gammaincc)
#undef GC_ROUNDED2
#undef GC_ROUNDED

#endif
