/* Scalar functions of generated CUDA: the names of c/gc_math.h, on the CUDA math library, in full
 * precision (compile without --use_fast_math). */
#ifndef GC_MATH_H
#define GC_MATH_H

#include "gc_types.h"

#define GC_LIBRARY(name, function)                                                                 \
    GC_INLINE float gc_##name##_f32(float x) { return function##f(x); }                            \
    GC_INLINE double gc_##name##_f64(double x) { return function(x); }
GC_LIBRARY(floor, floor)
GC_LIBRARY(ceil, ceil)
GC_LIBRARY(trunc, trunc)
GC_LIBRARY(round, rint) /* half to even */
GC_LIBRARY(abs, fabs)
GC_LIBRARY(sqrt, sqrt)
GC_LIBRARY(rsqrt, rsqrt)
GC_LIBRARY(exp, exp)
GC_LIBRARY(exp2, exp2)
GC_LIBRARY(expm1, expm1)
GC_LIBRARY(log, log)
GC_LIBRARY(log2, log2)
GC_LIBRARY(log10, log10)
GC_LIBRARY(log1p, log1p)
GC_LIBRARY(sin, sin)
GC_LIBRARY(cos, cos)
GC_LIBRARY(tan, tan)
GC_LIBRARY(asin, asin)
GC_LIBRARY(acos, acos)
GC_LIBRARY(atan, atan)
GC_LIBRARY(sinh, sinh)
GC_LIBRARY(cosh, cosh)
GC_LIBRARY(tanh, tanh)
GC_LIBRARY(asinh, asinh)
GC_LIBRARY(acosh, acosh)
GC_LIBRARY(atanh, atanh)
GC_LIBRARY(erf, erf)
GC_LIBRARY(erfc, erfc)
#undef GC_LIBRARY
GC_INLINE double gc_lgamma_f64(double x) { return lgamma(x); }

#define GC_LIBRARY2(name, function)                                                                \
    GC_INLINE float gc_##name##_f32(float x, float y) { return function##f(x, y); }                \
    GC_INLINE double gc_##name##_f64(double x, double y) { return function(x, y); }
GC_LIBRARY2(copysign, copysign)
GC_LIBRARY2(fmod, fmod)
GC_LIBRARY2(pow, pow)
GC_LIBRARY2(atan2, atan2)
GC_LIBRARY2(hypot, hypot)
#undef GC_LIBRARY2

/* exp(-|x|) <= 1 keeps both tails. */
GC_INLINE float gc_sigmoid_f32(float x) {
    float e = expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
GC_INLINE double gc_sigmoid_f64(double x) {
    double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

/* sin(r + quarter * pi/2), |r| <= pi/4. */
GC_INLINE float gc_sin_quarters_f32(float r, gc_u32 quarter) {
    float y = (quarter & 1u) ? cosf(r) : sinf(r);
    return (quarter & 2u) ? -y : y;
}

#include "../portable/gc_special.h"

#endif
