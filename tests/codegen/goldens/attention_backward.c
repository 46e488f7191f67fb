#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_attention.h"

/* tiled_attention_backward f32[2, 4, 52800]: tiled_attention_backward */
void tiled_attention_backward(
    gc_thread *t,
    const float *restrict x0, /* f32[2, 4, 300, 40] */
    const float *restrict x1, /* f32[2, 4, 300, 1] */
    const float *restrict x2, /* f32[2, 4, 300, 1] */
    const float *restrict x3, /* f32[2, 4, 300, 24] */
    const float *restrict x4, /* f32[2, 1, 600, 24] */
    const float *restrict x5, /* f32[2, 1, 600, 40] */
    const bool *restrict x6, /* b1[2, 1, 1, 600] */
    const int64_t *restrict x7, /* i64[2] */
    float *restrict tiled_attention_backward, /* f32[2, 4, 52800] */
    unsigned char *restrict own)
{
    int64_t begin, end;
    gc_share(t, 16, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t batch = row / 2;
        const int64_t from = row % 2 * 320;
        const int64_t end_of_share = gc_least(600, from + 320);
        float *const turned = (float *)own;
        float *const turned_g = turned + 1536;
        float *const scores = turned_g + 2560;
        float *const flow = scores + 4096;
        float *const sums = flow + 4096;
        float *const lse = sums + 1536;
        float *const base = lse + 64;
        float *const kept = base + 64;
        float *const packed = tiled_attention_backward + batch*52800;
        float *const to_q = packed + row % 2 * 7200;
        float *const to_k = packed + 14400;
        float *const to_v = packed + 28800;
        for (int64_t at = from*24; at < end_of_share*24; at++) to_k[at] = 0;
        for (int64_t at = from*40; at < end_of_share*40; at++) to_v[at] = 0;
        for (int64_t first = 0; first < 300; first += 64) {
            const int64_t count = gc_least(300 - first, 64);
            const int64_t lanes = (count + 31) / 32 * 32;
            const float *const own_q = x3 + batch*7200 + first*24;
            const float *const own_g = x0 + batch*12000 + first*40;
            gc_attention_turn_f32x16(own_q, count, 24, 0.125 * 1.4426950408889634, turned, 64);
            gc_attention_turn_f32x16(own_g, count, 40, 1, turned_g, 64);
            for (int64_t lane = 0; lane < 64; lane++) {
                /* Lanes without a query have no weights. */
                lse[lane] = lane < count ? x1[batch*300 + first + lane] * 1.4426950408889634 : GC_INFINITY;
                base[lane] = lane < count ? x2[batch*300 + first + lane] : 0;
            }
            for (int64_t at = 0; at < 1536; at++) sums[at] = 0;
            const int64_t limit = gc_least(end_of_share, first + count);
            for (int64_t key = from; key < limit; key += 64) {
                const int64_t keys = gc_least(limit - key, 64);
                const float *const own_k = x4 + batch/4*14400 + key*24;
                const float *const own_v = x5 + batch/4*24000 + key*40;
                gc_attention_product_f32x16(keys, lanes, 24, own_k, 24, 1, turned, 64, scores, 64, false);
                gc_attention_product_f32x16(keys, lanes, 40, own_v, 40, 1, turned_g, 64, flow, 64, false);
                {
                    const bool *const masks = x6 + batch/4*600 + key;
                    for (int64_t at = 0; at < keys; at++) {
                        for (int64_t lane = 0; lane < count; lane++) {
                            if (!masks[at]) scores[at*64 + lane] = -GC_INFINITY;
                        }
                    }
                }
                if (key + keys > first + 1) {
                    gc_attention_causal_f32x16(scores, keys, lanes, 64, key, first);
                }
                gc_attention_kept_f32(x7, 0.1, 1 / (1 - 0.1), (gc_u64)((batch*300 + first)*600 + key), 600, keys, lanes, 64, kept);
                for (int64_t at = 0; at < keys*64; at++) flow[at] *= kept[at];
                gc_attention_flow_f32x16(scores, flow, keys, lanes, 64, lse, base);
                for (int64_t at = 0; at < keys*64; at++) scores[at] *= kept[at];
                gc_attention_product_f32x16(keys, 40, count, scores, 64, 1, own_g, 40, to_v + key*40, 40, true);
                gc_attention_product_f32x16(keys, 24, count, flow, 64, 1, own_q, 24, to_k + key*24, 24, true);
                gc_attention_product_f32x16(24, lanes, keys, own_k, 1, 24, flow, 64, sums, 64, true);
            }
            for (int64_t lane = 0; lane < count; lane++) {
                for (int64_t at = 0; at < 24; at++) {
                    to_q[(first + lane)*24 + at] = sums[at*64 + lane] * 0.125;
                }
            }
        }
        for (int64_t at = from*24; at < end_of_share*24; at++) to_k[at] *= 0.125;
    }
}
