/* Bessel functions of orders 0 and 1, in double precision; float32 is rounded once from it.
 *
 * No tables: power series where they do not cancel, Miller's backward recurrence in the middle,
 * Hankel's asymptotic series far out, and the trapezoidal rule where the integrand makes it exact.
 * Formulas: Abramowitz and Stegun, chapter 9. As PyTorch: NaN at infinity where the function is not
 * scaled. Included by gc_special.h. */
#ifndef GC_BESSEL_H
#define GC_BESSEL_H

#define GC_EULER 0.57721566490153286061
#define GC_TWO_OVER_PI 0.63661977236758134308
#define GC_SQRT_2PI 2.50662827463100050242

/* Hankel's series sum_k a_k / x^k (9.7.1), a_k = prod (4 v^2 - (2 j - 1)^2) / (k! 8^k) for order v;
 * its even and its odd terms apart, `sign` the sign from one term of each to the next. */
GC_FUNCTION void gc_hankel(double x, int order, double sign, double *even, double *odd) {
    double square = 4.0 * order, term = 1.0, total[2] = {1.0, 0.0}, turn = 1.0;
    for (int k = 1; k < 60; ++k) {
        double width = 2.0 * k - 1.0;
        double next = term * (square - width * width) / (8.0 * k * x);
        if (gc_abs_f64(next) > gc_abs_f64(term) || next == 0.0) break; /* the series diverges now */
        term = next;
        if (k % 2 == 0) turn *= sign;
        total[k & 1] += turn * term;
        if (gc_abs_f64(term) < 1e-18) break;
    }
    *even = total[0];
    *odd = total[1];
}

/* ----------------------------------------------------------------------- modified, first kind */

/* sum (x^2 / 4)^k / (k! (k + v)!), all terms positive (9.6.10). */
GC_FUNCTION double gc_bessel_i_series(double x, int order) {
    double square = 0.25 * x * x, term = 1.0, total = 1.0;
    for (int k = 1; k < 80; ++k) {
        term *= square / (k * (double)(k + order));
        total += term;
        if (term < 1e-18 * total) break;
    }
    return total;
}

/* exp(-|x|) I_v(x) for x >= 0. */
GC_FUNCTION double gc_bessel_i_scaled(double x, int order) {
    if (x < 20.0) {
        double series = gc_bessel_i_series(x, order);
        return gc_exp_f64(-x) * (order ? 0.5 * x * series : series);
    }
    if (x == (double)GC_INFINITY) return 0.0;
    double even, odd;
    gc_hankel(x, order, 1.0, &even, &odd);
    return (even - odd) / (GC_SQRT_2PI * gc_sqrt_f64(x));
}

GC_FUNCTION double gc_bessel_i(double x, int order) {
    if (x < 20.0) {
        double series = gc_bessel_i_series(x, order);
        return order ? 0.5 * x * series : series;
    }
    if (x > 800.0) return x < (double)GC_INFINITY ? x * 1e308 : (double)GC_NAN;
    double half = gc_exp_f64(0.5 * x); /* exp(x) itself overflows before the result does */
    return half * gc_bessel_i_scaled(x, order) * half;
}

GC_FUNCTION double gc_i0_f64(double x) { return x != x ? x : gc_bessel_i(gc_abs_f64(x), 0); }
GC_FUNCTION double gc_i0e_f64(double x) {
    return x != x ? x : gc_bessel_i_scaled(gc_abs_f64(x), 0);
}
GC_FUNCTION double gc_i1_f64(double x) {
    return x != x ? x : gc_copysign_f64(gc_bessel_i(gc_abs_f64(x), 1), x);
}
GC_FUNCTION double gc_i1e_f64(double x) {
    return x != x ? x : gc_copysign_f64(gc_bessel_i_scaled(gc_abs_f64(x), 1), x);
}

/* ---------------------------------------------------------------------- modified, second kind */

/* exp(x) K_v(x). To 1 the series (9.6.11); beyond, the integral over t >= 0 of
 * exp(-x (cosh t - 1)) cosh(v t) (9.6.24) with a step so short that the rule has no error left. */
GC_FUNCTION double gc_bessel_k_scaled(double x, int order) {
    if (x != x || x < 0.0) return (double)GC_NAN;
    if (x == 0.0) return (double)GC_INFINITY;
    if (x <= 1.0) {
        double square = 0.25 * x * x, log = gc_log_f64(0.5 * x) + GC_EULER;
        double term = 1.0, harmonic = 0.0, total = order ? -0.5 : 0.0;
        for (int k = 1; k < 30; ++k) {
            term *= square / (k * (double)(k + order));
            harmonic += 1.0 / k;
            double mean = order ? harmonic + 0.5 / (k + 1.0) : harmonic;
            total += order ? -term * mean : term * mean;
            if (term < 1e-20) break;
        }
        double first = gc_bessel_i_series(x, order);
        double value = order ? 1.0 / x + 0.5 * x * (log * first + total) : total - log * first;
        return value * gc_exp_f64(x);
    }
    /* Less than exp(-40): exp(x - pi^2 / step) for small x, exp(-2 pi^2 / (x step^2)) for large. */
    double step = x < 20.0 ? 9.8696 / (42.0 + x) : 0.7 / gc_sqrt_f64(x), total = 0.5;
    for (int n = 1; n < 60; ++n) {
        double s = gc_sinh_f64(0.5 * n * step), decay = x * (2.0 * s * s);
        if (!(decay < 45.0)) break;
        double cosh = 1.0 + 2.0 * s * s;
        total += gc_exp_f64(-decay) * (order ? cosh : 1.0);
    }
    return step * total;
}

GC_FUNCTION double gc_k0e_f64(double x) { return gc_bessel_k_scaled(x, 0); }
GC_FUNCTION double gc_k1e_f64(double x) { return gc_bessel_k_scaled(x, 1); }
GC_FUNCTION double gc_k0_f64(double x) { return gc_exp_f64(-x) * gc_bessel_k_scaled(x, 0); }
GC_FUNCTION double gc_k1_f64(double x) { return gc_exp_f64(-x) * gc_bessel_k_scaled(x, 1); }

/* -------------------------------------------------------------------------------- oscillating */

/* J_v(x) and Y_v(x) for x > 0. */
GC_FUNCTION void gc_bessel_jy(double x, int order, double *first, double *second) {
    if (x >= 25.0) { /* 9.2.5, 9.2.6 with the angles x - pi/4 and x - 3 pi/4 */
        double p, q, sine = gc_sin_f64(x), cosine = gc_cos_f64(x);
        gc_hankel(x, order, -1.0, &p, &q);
        double scale = 1.0 / gc_sqrt_f64(3.14159265358979323846 * x);
        double sum = sine + cosine, difference = sine - cosine;
        double c = order ? difference : sum, s = order ? -sum : difference;
        *first = scale * (p * c - q * s);
        *second = scale * (p * s + q * c);
        return;
    }
    double log = gc_log_f64(x) - 0.69314718055994530942 + GC_EULER;
    if (x < 1.0) { /* 9.1.10, 9.1.13, 9.1.11 */
        double square = 0.25 * x * x, term = 1.0, harmonic = 0.0;
        double j = 1.0, y = order ? -0.5 : 0.0;
        for (int k = 1; k < 20; ++k) {
            term *= -square / (k * (double)(k + order));
            harmonic += 1.0 / k;
            j += term;
            y -= term * (order ? harmonic + 0.5 / (k + 1.0) : harmonic);
        }
        double half = order ? 0.5 * x : 1.0;
        *first = half * j;
        *second = GC_TWO_OVER_PI * (half * (log * j + y) - (order ? 1.0 / x : 0.0));
        return;
    }
    /* Miller: f_n, proportional to J_n, downwards from an order where it is nothing; the sum
     * J_0 + 2 J_2 + 2 J_4 + ... is 1 (9.1.46). Y is Neumann's series in J (9.1.87, 9.1.88). */
    int start = 2 * (20 + (int)(0.5 * x));
    double above = 0.0, f = 1e-200, total = 0.0, series = 0.0, j0 = 0.0, j1 = 0.0;
    for (int n = start; n >= 0; --n) {
        double sign = (n / 2) % 2 ? -1.0 : 1.0, k = n / 2;
        if (n % 2 == 0) total += n ? 2.0 * f : f;
        if (n % 2 == order && n > 1) {
            series += sign * f * (order ? (2.0 * k + 1.0) / (k * (k + 1.0)) : 1.0 / k);
        }
        if (n == 1) j1 = f;
        if (n == 0) j0 = f;
        double below = n ? 2.0 * n / x * f - above : 0.0;
        above = f;
        f = below;
    }
    j0 /= total;
    j1 /= total;
    series /= total;
    *first = order ? j1 : j0;
    *second = order ? GC_TWO_OVER_PI * ((log - 1.0) * j1 - j0 / x - series)
                    : GC_TWO_OVER_PI * (log * j0 - 2.0 * series);
}

GC_FUNCTION double gc_bessel_j(double x, int order) {
    double a = gc_abs_f64(x), j, y;
    if (x != x) return x;
    if (a == (double)GC_INFINITY) return (double)GC_NAN;
    if (a == 0.0) return order ? x : 1.0;
    gc_bessel_jy(a, order, &j, &y);
    return order && x < 0.0 ? -j : j;
}
GC_FUNCTION double gc_bessel_y(double x, int order) {
    double j, y;
    if (x != x || x < 0.0 || x == (double)GC_INFINITY) return (double)GC_NAN;
    if (x == 0.0) return -(double)GC_INFINITY;
    gc_bessel_jy(x, order, &j, &y);
    return y;
}

GC_FUNCTION double gc_j0_f64(double x) { return gc_bessel_j(x, 0); }
GC_FUNCTION double gc_j1_f64(double x) { return gc_bessel_j(x, 1); }
GC_FUNCTION double gc_y0_f64(double x) { return gc_bessel_y(x, 0); }
GC_FUNCTION double gc_y1_f64(double x) { return gc_bessel_y(x, 1); }

#define GC_ROUNDED(name)                                                                           \
    GC_INLINE float gc_##name##_f32(float x) { return (float)gc_##name##_f64((double)x); }
GC_ROUNDED(i0)
GC_ROUNDED(i0e)
GC_ROUNDED(i1)
GC_ROUNDED(i1e)
GC_ROUNDED(k0)
GC_ROUNDED(k0e)
GC_ROUNDED(k1)
GC_ROUNDED(k1e)
GC_ROUNDED(j0)
GC_ROUNDED(j1)
GC_ROUNDED(y0)
GC_ROUNDED(y1)
#undef GC_ROUNDED

#endif
