/* Building blocks of contractions: vectors of float and double with unaligned and partial loads,
 * transposition, and sums of lanes. Written with the vector extensions that gcc and clang share;
 * the few x86 builtins are used where the compiler and the target have them.
 *
 * A vector type is named after its element and its lanes (gc_f32x16). Generated code picks one
 * width for a program; a width that the target lacks still works, the compiler splits it. */
#ifndef GC_GEMM_H
#define GC_GEMM_H

#include "gc_types.h"

#if defined(__GNUC__) && !defined(__clang__)
/* Vectors wider than the target's registers are passed to inlined functions only. */
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

GC_INLINE int64_t gc_most(int64_t a, int64_t b) { return a > b ? a : b; }

#ifndef __has_builtin
#define __has_builtin(name) 0
#endif

/* The loops so marked have literal bounds and index arrays of vectors: they must dissolve, so that
 * the arrays become registers. */
#define GC_UNROLL _Pragma("GCC unroll 64")

/* Makes the compiler load again what it loaded before: values kept from one step of the depth to
 * the next would push sums out of the registers. */
#define GC_FORGET_LOADS __asm__ volatile("" : : : "memory")

#define GC_DEFINE_VECTOR(V, T, LANES)                                                              \
    typedef T gc_##V __attribute__((vector_size(LANES * sizeof(T))));                              \
    typedef T gc_##V##_anywhere                                                                    \
        __attribute__((vector_size(LANES * sizeof(T)), aligned(sizeof(T)), may_alias));            \
    GC_INLINE gc_##V gc_load_##V(const T *from) { return *(const gc_##V##_anywhere *)from; }       \
    GC_INLINE void gc_store_##V(T *to, gc_##V value) { *(gc_##V##_anywhere *)to = value; }         \
    /* Lanes [low, high) from memory, zero elsewhere; nothing else is read. */                     \
    GC_INLINE gc_##V gc_load_between_plain_##V(const T *from, int64_t low, int64_t high) {         \
        gc_##V value = {0};                                                                        \
        for (int lane = 0; lane < LANES; lane++) {                                                 \
            if (lane >= low && lane < high) value[lane] = from[lane];                              \
        }                                                                                          \
        return value;                                                                              \
    }                                                                                              \
    GC_INLINE T gc_sum_##V(gc_##V value) {                                                         \
        T lanes[LANES];                                                                            \
        gc_store_##V(lanes, value);                                                                \
        for (int half = LANES / 2; half > 0; half /= 2) {                                          \
            for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];             \
        }                                                                                          \
        return lanes[0];                                                                           \
    }

/* Keeps a loaded vector in its register: loading it anew for each use would be slower where it
 * straddles two cache lines. */
#if defined(__AVX512F__)
#define GC_KEEP(vector) __asm__("" : "+v"(vector))
#elif defined(__AVX2__)
#define GC_KEEP(vector) if (sizeof(vector) <= 32) __asm__("" : "+x"(vector))
#else
#define GC_KEEP(vector)
#endif

GC_DEFINE_VECTOR(f32x4, float, 4)
GC_DEFINE_VECTOR(f32x8, float, 8)
GC_DEFINE_VECTOR(f32x16, float, 16)
GC_DEFINE_VECTOR(f64x2, double, 2)
GC_DEFINE_VECTOR(f64x4, double, 4)
GC_DEFINE_VECTOR(f64x8, double, 8)

/* ----------------------------------------------------------------------------- partial loads */

/* Bits [low, high) of a mask of up to 16 lanes; low and high may lie outside it. */
GC_INLINE uint32_t gc_lane_mask(int64_t low, int64_t high) {
    uint32_t from = low <= 0 ? 0 : low > 16 ? 16 : (uint32_t)low;
    uint32_t to = high <= 0 ? 0 : high > 16 ? 16 : (uint32_t)high;
    return ((1u << to) - 1u) & ~((1u << from) - 1u);
}

#define GC_LOAD_BETWEEN_PLAIN(V, T)                                                                \
    GC_INLINE gc_##V gc_load_between_##V(const T *from, int64_t low, int64_t high) {               \
        return gc_load_between_plain_##V(from, low, high);                                         \
    }

GC_LOAD_BETWEEN_PLAIN(f32x4, float)
GC_LOAD_BETWEEN_PLAIN(f64x2, double)

#if defined(__AVX512F__) && __has_builtin(__builtin_ia32_loadups512_mask) &&                       \
    __has_builtin(__builtin_ia32_loadupd512_mask)
GC_INLINE gc_f32x16 gc_load_between_f32x16(const float *from, int64_t low, int64_t high) {
    const gc_f32x16 zero = {0};
    return __builtin_ia32_loadups512_mask((const void *)from, zero,
                                          (uint16_t)gc_lane_mask(low, high));
}
GC_INLINE gc_f64x8 gc_load_between_f64x8(const double *from, int64_t low, int64_t high) {
    const gc_f64x8 zero = {0};
    return __builtin_ia32_loadupd512_mask((const void *)from, zero,
                                          (uint8_t)gc_lane_mask(low, high));
}
#else
GC_LOAD_BETWEEN_PLAIN(f32x16, float)
GC_LOAD_BETWEEN_PLAIN(f64x8, double)
#endif

#if defined(__AVX2__) && __has_builtin(__builtin_ia32_maskloadps256) &&                            \
    __has_builtin(__builtin_ia32_maskloadpd256)
typedef int gc_i32x8 __attribute__((vector_size(32)));
typedef long long gc_i64x4 __attribute__((vector_size(32)));
GC_INLINE gc_f32x8 gc_load_between_f32x8(const float *from, int64_t low, int64_t high) {
    const gc_i32x8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
    const int first = low < 0 ? 0 : low > 8 ? 8 : (int)low;
    const int end = high < 0 ? 0 : high > 8 ? 8 : (int)high;
    return __builtin_ia32_maskloadps256((const void *)from, (lane >= first) & (lane < end));
}
GC_INLINE gc_f64x4 gc_load_between_f64x4(const double *from, int64_t low, int64_t high) {
    const gc_i64x4 lane = {0, 1, 2, 3};
    return __builtin_ia32_maskloadpd256((const void *)from,
                                        (lane >= (long long)low) & (lane < (long long)high));
}
#else
GC_LOAD_BETWEEN_PLAIN(f32x8, float)
GC_LOAD_BETWEEN_PLAIN(f64x4, double)
#endif

/* ----------------------------------------------------------------------------- transposition */

/* Interleaving the first half of the rows with the second half, log2(LANES) times, transposes:
 * each round moves one bit of the row number into the column number. */
#define GC_DEFINE_TRANSPOSE(V, T, LANES, ROUNDS)                                                   \
    GC_INLINE void gc_transpose_##V(gc_##V row[LANES]) {                                           \
        GC_UNROLL                                                                                  \
        for (int round = 0; round < ROUNDS; round++) {                                             \
            gc_##V next[LANES];                                                                    \
            GC_UNROLL                                                                              \
            for (int i = 0; i < LANES / 2; i++) {                                                  \
                next[2 * i] = GC_INTERLEAVE_LOW_##LANES(row[i], row[i + LANES / 2]);               \
                next[2 * i + 1] = GC_INTERLEAVE_HIGH_##LANES(row[i], row[i + LANES / 2]);          \
            }                                                                                      \
            GC_UNROLL                                                                              \
            for (int i = 0; i < LANES; i++) row[i] = next[i];                                      \
        }                                                                                          \
    }                                                                                              \
    /* to[j * to_stride + i] = from[i * from_stride + j] for j < LANES and i < rows <= LANES, and  \
     * zeros for the i up to LANES. */                                                             \
    GC_INLINE void gc_turn_##V(const T *from, int64_t from_stride, int rows, T *to,                \
                               int64_t to_stride) {                                                \
        gc_##V row[LANES];                                                                         \
        GC_UNROLL                                                                                  \
        for (int i = 0; i < LANES; i++) {                                                          \
            row[i] = i < rows ? gc_load_##V(from + i * from_stride) : (gc_##V){0};                 \
        }                                                                                          \
        gc_transpose_##V(row);                                                                     \
        GC_UNROLL                                                                                  \
        for (int i = 0; i < LANES; i++) gc_store_##V(to + i * to_stride, row[i]);                  \
    }

/* to[k * to_stride + r] = from[r * from_stride + k] for r < rows <= LANES and k < count. Each k
 * writes LANES elements: those from `rows` on are zeros or will be overwritten by the caller, who
 * goes from the last group of rows to the first and leaves room at the end.
 * Where PER elements of S fill a lane of V, this holds for such groups of elements; `count` and
 * the strides count elements, and what is missing in the last group is zero. */
#define GC_DEFINE_PACK_ACROSS(NAME, V, LANES, S, T, PER)                                           \
    GC_FUNCTION void gc_pack_across_##NAME(const S *restrict from, int64_t from_stride, int rows,  \
                                           int64_t count, T *restrict to, int64_t to_stride) {     \
        for (int64_t k = 0; k < count; k += LANES * PER) {                                         \
            const int64_t left = count - k;                                                        \
            gc_##V row[LANES];                                                                     \
            if (rows == LANES && left >= LANES * PER) {                                            \
                GC_UNROLL                                                                          \
                for (int r = 0; r < LANES; r++) {                                                  \
                    row[r] = gc_load_##NAME(from + r * from_stride + k);                           \
                }                                                                                  \
            } else {                                                                               \
                GC_UNROLL                                                                          \
                for (int r = 0; r < LANES; r++) {                                                  \
                    row[r] = (gc_##V){0};                                                          \
                    if (r < rows) {                                                                \
                        row[r] = left >= LANES * PER                                               \
                                     ? gc_load_##NAME(from + r * from_stride + k)                  \
                                     : gc_load_between_##NAME(from + r * from_stride + k, 0, left); \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
            gc_transpose_##V(row);                                                                 \
            GC_UNROLL                                                                              \
            for (int i = 0; i < LANES; i++) {                                                      \
                if (i * PER < left) {                                                              \
                    *(gc_##V##_anywhere *)(to + (k / PER + i) * to_stride) = row[i];               \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#if __has_builtin(__builtin_shufflevector)
#define GC_SHUFFLE(LANES, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define GC_SHUFFLE(LANES, a, b, ...)                                                               \
    __builtin_shuffle(a, b, (__typeof__((a) < (b))){__VA_ARGS__})
#endif
#define GC_INTERLEAVE_LOW_2(a, b) GC_SHUFFLE(2, a, b, 0, 2)
#define GC_INTERLEAVE_HIGH_2(a, b) GC_SHUFFLE(2, a, b, 1, 3)
#define GC_INTERLEAVE_LOW_4(a, b) GC_SHUFFLE(4, a, b, 0, 4, 1, 5)
#define GC_INTERLEAVE_HIGH_4(a, b) GC_SHUFFLE(4, a, b, 2, 6, 3, 7)
#define GC_INTERLEAVE_LOW_8(a, b) GC_SHUFFLE(8, a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define GC_INTERLEAVE_HIGH_8(a, b) GC_SHUFFLE(8, a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define GC_INTERLEAVE_LOW_16(a, b)                                                                 \
    GC_SHUFFLE(16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define GC_INTERLEAVE_HIGH_16(a, b)                                                                \
    GC_SHUFFLE(16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

GC_DEFINE_TRANSPOSE(f32x4, float, 4, 2)
GC_DEFINE_PACK_ACROSS(f32x4, f32x4, 4, float, float, 1)
GC_DEFINE_TRANSPOSE(f32x8, float, 8, 3)
GC_DEFINE_PACK_ACROSS(f32x8, f32x8, 8, float, float, 1)
GC_DEFINE_TRANSPOSE(f32x16, float, 16, 4)
GC_DEFINE_PACK_ACROSS(f32x16, f32x16, 16, float, float, 1)
GC_DEFINE_TRANSPOSE(f64x2, double, 2, 1)
GC_DEFINE_PACK_ACROSS(f64x2, f64x2, 2, double, double, 1)
GC_DEFINE_TRANSPOSE(f64x4, double, 4, 2)
GC_DEFINE_PACK_ACROSS(f64x4, f64x4, 4, double, double, 1)
GC_DEFINE_TRANSPOSE(f64x8, double, 8, 3)
GC_DEFINE_PACK_ACROSS(f64x8, f64x8, 8, double, double, 1)

#endif
