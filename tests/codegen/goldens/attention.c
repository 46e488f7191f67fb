#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_attention.h"

/* tiled_attention f32[2, 4, 12300]: tiled_attention */
void tiled_attention(
    gc_thread *t,
    const float *restrict x0, /* f32[2, 4, 300, 24] */
    const float *restrict x1, /* f32[2, 1, 600, 24] */
    const float *restrict x2, /* f32[2, 1, 600, 40] */
    const bool *restrict x3, /* b1[2, 1, 1, 600] */
    const int64_t *restrict x4, /* i64[2] */
    float *restrict tiled_attention, /* f32[2, 4, 12300] */
    unsigned char *restrict own)
{
    int64_t begin, end;
    gc_share(t, 40, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t batch = row / 5;
        /* Tiles from either end by turns: equal shares of rows are equal shares of work. */
        const int64_t number = row % 5;
        const int64_t first = (number % 2 ? 5 - 1 - number/2 : number/2) * 64;
        const int64_t count = gc_least(300 - first, 64);
        const int64_t lanes = (count + 31) / 32 * 32;
        float *const turned = (float *)own;
        float *const scores = turned + 1536;
        float *const sums = scores + 4096;
        float *const most = sums + 2560;
        float *const total = most + 64;
        float *const fall = total + 64;
        float *const kept = fall + 64;
        gc_attention_turn_f32x16(x0 + batch*7200 + first*24, count, 24, 0.125 * 1.4426950408889634, turned, 64);
        for (int64_t at = 0; at < 2560; at++) sums[at] = 0;
        for (int64_t lane = 0; lane < 64; lane++) most[lane] = -GC_INFINITY;
        for (int64_t lane = 0; lane < 64; lane++) total[lane] = 0;
        const int64_t limit = gc_least(600, first + count);
        for (int64_t key = 0; key < limit; key += 64) {
            const int64_t keys = gc_least(limit - key, 64);
            gc_attention_product_f32x16(keys, lanes, 24, x1 + batch/4*14400 + key*24, 24, 1, turned, 64, scores, 64, false);
            {
                const bool *const masks = x3 + batch/4*600 + key;
                for (int64_t at = 0; at < keys; at++) {
                    for (int64_t lane = 0; lane < count; lane++) {
                        if (!masks[at]) scores[at*64 + lane] = -GC_INFINITY;
                    }
                }
            }
            if (key + keys > first + 1) {
                gc_attention_causal_f32x16(scores, keys, lanes, 64, key, first);
            }
            gc_attention_join_f32x16(scores, keys, lanes, 64, most, total, fall, sums, 40);
            gc_attention_kept_f32(x4, 0.1, 1 / (1 - 0.1), (gc_u64)((batch*300 + first)*600 + key), 600, keys, lanes, 64, kept);
            for (int64_t at = 0; at < keys*64; at++) scores[at] *= kept[at];
            gc_attention_product_f32x16(40, lanes, keys, x2 + batch/4*24000 + key*40, 1, 40, scores, 64, sums, 64, true);
        }
        float *const result = tiled_attention + batch*12300 + first*40;
        float *const lse = tiled_attention + batch*12300 + 12000 + first;
        for (int64_t lane = 0; lane < count; lane++) {
            const bool none = total[lane] == 0;
            const float share = none ? 0 : 1 / total[lane];
            for (int64_t at = 0; at < 40; at++) {
                result[lane*40 + at] = sums[at*64 + lane] * share;
            }
            lse[lane] = none ? GC_INFINITY : (most[lane] + gc_log2_f32(total[lane])) / 1.4426950408889634;
        }
    }
}
