/* Integer arithmetic of i8, i16, i32, i64 and u8, for C and for CUDA: two's complement, wrapping,
 * with PyTorch's sign rules, and no case undefined.
 *
 * A divisor of 0 gives 0 (floordiv, remainder, truncdiv, fmod): whoever generates the loop tests
 * the divisor and reports it, since PyTorch raises there. Quotients of the minimum by -1 wrap. */
#ifndef GC_INTEGER_H
#define GC_INTEGER_H

/* T: element type; W: an unsigned type at least as wide as int, in which nothing overflows. */
#define GC_DEFINE_INTEGER(T, W, BITS)                                                              \
    GC_INLINE gc_##T gc_add_##T(gc_##T a, gc_##T b) { return (gc_##T)((W)a + (W)b); }              \
    GC_INLINE gc_##T gc_sub_##T(gc_##T a, gc_##T b) { return (gc_##T)((W)a - (W)b); }              \
    GC_INLINE gc_##T gc_mul_##T(gc_##T a, gc_##T b) { return (gc_##T)((W)a * (W)b); }              \
    GC_INLINE gc_##T gc_neg_##T(gc_##T a) { return (gc_##T)((W)0 - (W)a); }                        \
    /* Both choices are computed, so that loops vectorise; a?b:c computes one. */                   \
    GC_INLINE gc_##T gc_where_##T(gc_b1 c, gc_##T a, gc_##T b) { return c ? a : b; }                \
    GC_INLINE gc_##T gc_max_##T(gc_##T a, gc_##T b) { return a > b ? a : b; }                      \
    GC_INLINE gc_##T gc_min_##T(gc_##T a, gc_##T b) { return a < b ? a : b; }                      \
    GC_INLINE gc_##T gc_fmax_##T(gc_##T a, gc_##T b) { return a > b ? a : b; }                     \
    GC_INLINE gc_##T gc_fmin_##T(gc_##T a, gc_##T b) { return a < b ? a : b; }                     \
    /* Multiplication modulo 2^BITS, squaring; a negative exponent is 1 / a^-n truncated. */       \
    GC_INLINE gc_##T gc_power_##T(gc_##T base, gc_##T exponent) {                                  \
        W square = (W)base, product = 1;                                                           \
        for (W n = (W)exponent; n != 0; n >>= 1) {                                                 \
            product = (n & 1) ? product * square : product;                                        \
            square *= square;                                                                      \
        }                                                                                          \
        return (gc_##T)product;                                                                    \
    }

#define GC_DEFINE_SIGNED(T, W, BITS)                                                               \
    GC_DEFINE_INTEGER(T, W, BITS)                                                                  \
    GC_INLINE gc_##T gc_abs_##T(gc_##T a) { return a < 0 ? gc_neg_##T(a) : a; }                    \
    GC_INLINE gc_##T gc_sign_##T(gc_##T a) { return (gc_##T)((a > 0) - (a < 0)); }                 \
    GC_INLINE gc_##T gc_pow_##T(gc_##T a, gc_##T b) {                                              \
        gc_##T inverse = (gc_##T)(a == 1 ? 1 : a == -1 ? ((b & 1) ? -1 : 1) : 0);                  \
        return b < 0 ? inverse : gc_power_##T(a, b < 0 ? (gc_##T)0 : b);                           \
    }                                                                                              \
    GC_INLINE gc_##T gc_lshift_##T(gc_##T a, gc_##T b) {                                           \
        int inside = (b >= 0) & (b < BITS);                                                        \
        W shifted = (W)a << (inside ? b : 0);                                                      \
        return inside ? (gc_##T)shifted : (gc_##T)0;                                               \
    }                                                                                              \
    GC_INLINE gc_##T gc_rshift_##T(gc_##T a, gc_##T b) {                                           \
        int inside = (b >= 0) & (b < BITS);                                                        \
        return (gc_##T)(a >> (inside ? b : BITS - 1));                                             \
    }                                                                                              \
    /* 0 and -1 never reach the divider: one traps, the other does for the minimum. */             \
    GC_INLINE gc_##T gc_truncdiv_##T(gc_##T a, gc_##T b) {                                         \
        int special = (b == 0) | (b == -1);                                                        \
        gc_##T quotient = (gc_##T)(a / (special ? (gc_##T)1 : b));                                 \
        return b == 0 ? (gc_##T)0 : b == -1 ? gc_neg_##T(a) : quotient;                            \
    }                                                                                              \
    GC_INLINE gc_##T gc_fmod_##T(gc_##T a, gc_##T b) {                                             \
        int special = (b == 0) | (b == -1);                                                        \
        return (gc_##T)(a % (special ? (gc_##T)1 : b));                                            \
    }                                                                                              \
    GC_INLINE gc_##T gc_remainder_##T(gc_##T a, gc_##T b) {                                        \
        gc_##T rest = gc_fmod_##T(a, b);                                                           \
        return (gc_##T)(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);                     \
    }                                                                                              \
    GC_INLINE gc_##T gc_floordiv_##T(gc_##T a, gc_##T b) {                                         \
        gc_##T rest = gc_fmod_##T(a, b), quotient = gc_truncdiv_##T(a, b);                         \
        return (gc_##T)(rest != 0 && (rest < 0) != (b < 0) ? quotient - 1 : quotient);             \
    }                                                                                              \
    /* In the unsigned type, where the magnitude of the minimum exists. */                         \
    GC_INLINE gc_##T gc_gcd_##T(gc_##T a, gc_##T b) {                                              \
        W x = a < 0 ? (W)0 - (W)a : (W)a, y = b < 0 ? (W)0 - (W)b : (W)b;                          \
        while (y != 0) {                                                                           \
            W rest = x % y;                                                                        \
            x = y;                                                                                 \
            y = rest;                                                                              \
        }                                                                                          \
        return (gc_##T)x;                                                                          \
    }                                                                                              \
    /* The magnitude is taken in the wide type, as PyTorch's is in int for the narrow ones. */     \
    GC_INLINE gc_##T gc_lcm_##T(gc_##T a, gc_##T b) {                                              \
        W product = (W)gc_truncdiv_##T(a, gc_gcd_##T(a, b)) * (W)b;                                \
        int negative = (int)(product >> (sizeof(W) * 8 - 1));                                      \
        return (gc_##T)(negative ? (W)0 - product : product);                                      \
    }

#define GC_DEFINE_UNSIGNED(T, W, BITS)                                                             \
    GC_DEFINE_INTEGER(T, W, BITS)                                                                  \
    GC_INLINE gc_##T gc_abs_##T(gc_##T a) { return a; }                                            \
    GC_INLINE gc_##T gc_sign_##T(gc_##T a) { return (gc_##T)(a > 0); }                             \
    GC_INLINE gc_##T gc_pow_##T(gc_##T a, gc_##T b) { return gc_power_##T(a, b); }                 \
    GC_INLINE gc_##T gc_lshift_##T(gc_##T a, gc_##T b) {                                           \
        return (gc_##T)(b < BITS ? a << (b < BITS ? b : 0) : 0);                                   \
    }                                                                                              \
    GC_INLINE gc_##T gc_rshift_##T(gc_##T a, gc_##T b) {                                           \
        return (gc_##T)(b < BITS ? a >> (b < BITS ? b : 0) : 0);                                   \
    }                                                                                              \
    GC_INLINE gc_##T gc_truncdiv_##T(gc_##T a, gc_##T b) {                                         \
        return (gc_##T)(b == 0 ? 0 : a / (b == 0 ? 1 : b));                                        \
    }                                                                                              \
    GC_INLINE gc_##T gc_fmod_##T(gc_##T a, gc_##T b) {                                             \
        return (gc_##T)(a % (b == 0 ? 1 : b));                                                     \
    }                                                                                              \
    GC_INLINE gc_##T gc_remainder_##T(gc_##T a, gc_##T b) { return gc_fmod_##T(a, b); }            \
    GC_INLINE gc_##T gc_floordiv_##T(gc_##T a, gc_##T b) { return gc_truncdiv_##T(a, b); }         \
    GC_INLINE gc_##T gc_gcd_##T(gc_##T a, gc_##T b) {                                              \
        while (b != 0) {                                                                           \
            gc_##T rest = (gc_##T)(a % b);                                                         \
            a = b;                                                                                 \
            b = rest;                                                                              \
        }                                                                                          \
        return a;                                                                                  \
    }                                                                                              \
    GC_INLINE gc_##T gc_lcm_##T(gc_##T a, gc_##T b) {                                              \
        return gc_mul_##T(gc_truncdiv_##T(a, gc_gcd_##T(a, b)), b);                                \
    }

GC_DEFINE_SIGNED(i8, gc_u32, 8)
GC_DEFINE_SIGNED(i16, gc_u32, 16)
GC_DEFINE_SIGNED(i32, gc_u32, 32)
GC_DEFINE_SIGNED(i64, gc_u64, 64)
GC_DEFINE_UNSIGNED(u8, gc_u32, 8)

#undef GC_DEFINE_INTEGER
#undef GC_DEFINE_SIGNED
#undef GC_DEFINE_UNSIGNED

GC_INLINE gc_b1 gc_where_b1(gc_b1 c, gc_b1 a, gc_b1 b) { return (c & a) | (!c & b); }
GC_INLINE gc_b1 gc_max_b1(gc_b1 a, gc_b1 b) { return a | b; }
GC_INLINE gc_b1 gc_min_b1(gc_b1 a, gc_b1 b) { return a & b; }
#define gc_max_bool gc_max_b1
#define gc_min_bool gc_min_b1

#endif
