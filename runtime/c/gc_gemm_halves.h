/* Building blocks of contractions of 16-bit numbers: packing that converts them to float, and, where
 * the CPU multiplies bfloat16, pairs of them.
 *
 * A vector of pairs (gc_bf16x32) has two steps of the depth in each of its lanes of 32 bits; its
 * products are summed in a vector of half as many floats. The instruction takes subnormal numbers
 * for zero and rounds after each of the two products. */
#ifndef GC_GEMM_HALVES_H
#define GC_GEMM_HALVES_H

#include "gc_gemm.h"
#include "gc_math.h"

/* ------------------------------------------------------------------------- converted to float */

#define GC_DEFINE_WIDENING(V, LANES, S)                                                            \
    GC_INLINE gc_##V gc_load_between_##V##_from_##S(const gc_##S *from, int64_t low,               \
                                                    int64_t high) {                                \
        float lanes[LANES];                                                                        \
        for (int i = 0; i < LANES; i++) {                                                          \
            lanes[i] = i >= low && i < high ? gc_##S##_to_f32(from[i]) : 0;                        \
        }                                                                                          \
        return gc_load_##V(lanes);                                                                 \
    }                                                                                              \
    GC_INLINE gc_##V gc_load_##V##_from_##S(const gc_##S *from) {                                  \
        float lanes[LANES];                                                                        \
        _Pragma("omp simd") for (int i = 0; i < LANES; i++) lanes[i] = gc_##S##_to_f32(from[i]);   \
        return gc_load_##V(lanes);                                                                 \
    }                                                                                              \
    GC_DEFINE_PACK_ACROSS(V##_from_##S, V, LANES, gc_##S, float, 1)

GC_DEFINE_WIDENING(f32x4, 4, bf16)
GC_DEFINE_WIDENING(f32x8, 8, bf16)
GC_DEFINE_WIDENING(f32x16, 16, bf16)
GC_DEFINE_WIDENING(f32x4, 4, f16)
GC_DEFINE_WIDENING(f32x8, 8, f16)
GC_DEFINE_WIDENING(f32x16, 16, f16)

/* --------------------------------------------------------------------------- pairs of bfloat16 */

#if defined(__AVX512F__) && defined(__AVX512BF16__)

typedef gc_f32x16 gc_bf16x32; /* its bits: nothing is computed with them as floats */
typedef uint32_t gc_bf16_pair __attribute__((may_alias, aligned(2)));

GC_INLINE gc_bf16x32 gc_load_bf16x32(const gc_bf16 *from) {
    gc_bf16x32 pairs;
    __builtin_memcpy(&pairs, from, sizeof pairs);
    return pairs;
}

/* Elements [low, high) from memory, zero elsewhere; nothing else is read. */
GC_INLINE gc_bf16x32 gc_load_between_bf16x32(const gc_bf16 *from, int64_t low, int64_t high) {
    gc_bf16x32 pairs;
    const uint32_t first = gc_lane_mask(low, high), second = gc_lane_mask(low - 16, high - 16);
    const uint32_t mask = first | second << 16;
    __asm__("vmovdqu16 %1, %0%{%2%}%{z%}"
            : "=v"(pairs)
            : "m"(*(const gc_bf16(*)[32])from), "Yk"(mask));
    return pairs;
}

/* The same of floats, rounded. */
GC_INLINE gc_bf16x32 gc_rounded_bf16x32(gc_f32x16 low, gc_f32x16 high) {
    gc_bf16x32 pairs;
    __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(pairs) : "v"(high), "v"(low));
    return pairs;
}
GC_INLINE gc_bf16x32 gc_load_bf16x32_from_f32(const float *from) {
    return gc_rounded_bf16x32(gc_load_f32x16(from), gc_load_f32x16(from + 16));
}
GC_INLINE gc_bf16x32 gc_load_between_bf16x32_from_f32(const float *from, int64_t low,
                                                      int64_t high) {
    return gc_rounded_bf16x32(gc_load_between_f32x16(from, low, high),
                              gc_load_between_f32x16(from + 16, low - 16, high - 16));
}

/* The same pair in all lanes. */
GC_INLINE gc_bf16x32 gc_pair_bf16x32(const gc_bf16 *from) {
    typedef uint32_t bits __attribute__((vector_size(64)));
    return (gc_bf16x32)((bits){0} + *(const gc_bf16_pair *)from);
}

/* sum + a[0] * b[0] + a[1] * b[1] in each lane. */
GC_INLINE gc_f32x16 gc_add_bf16x32(gc_f32x16 sum, gc_bf16x32 a, gc_bf16x32 b) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

GC_INLINE void gc_put_pair(gc_bf16 *to, gc_bf16 first, gc_bf16 second, bool both) {
    *(gc_bf16_pair *)to = first.bits | (both ? (uint32_t)second.bits << 16 : 0);
}

/* A run of pairs from two rows, the first of `valid` elements; zeros up to `run`. */
#define GC_DEFINE_PACK_PAIRS(NAME, S, NARROWED)                                                    \
    GC_INLINE void NAME(const S *restrict from, const S *restrict other, bool both, int64_t valid, \
                        int run, gc_bf16 *restrict to) {                                           \
        const uint32_t mask = both ? 0xffff0000u : 0;                                              \
        gc_bf16_pair *restrict pair = (gc_bf16_pair *)to;                                          \
        if (valid >= run) {                                                                        \
            _Pragma("omp simd") for (int i = 0; i < run; i++) {                                    \
                pair[i] = NARROWED(from[i]).bits | ((uint32_t)NARROWED(other[i]).bits << 16 & mask); \
            }                                                                                      \
        } else {                                                                                   \
            for (int i = 0; i < run; i++) {                                                        \
                pair[i] = 0;                                                                       \
                if (i < valid) gc_put_pair(to + 2 * i, NARROWED(from[i]), NARROWED(other[i]), both); \
            }                                                                                      \
        }                                                                                          \
    }

#define GC_AS_IT_IS(x) (x)
GC_DEFINE_PACK_PAIRS(gc_pack_pairs, gc_bf16, GC_AS_IT_IS)
GC_DEFINE_PACK_PAIRS(gc_pack_pairs_from_f32, float, gc_f32_to_bf16)
GC_DEFINE_PACK_ACROSS(bf16x32, f32x16, 16, gc_bf16, gc_bf16, 2)
GC_DEFINE_PACK_ACROSS(bf16x32_from_f32, f32x16, 16, float, gc_bf16, 2)

#endif
#endif
