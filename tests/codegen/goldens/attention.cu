#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_random.h"

/* tiled_attention f32[2, 4, 12300]: tiled_attention */
extern "C" __global__ void tiled_attention(
    gc_error *report,
    const float *__restrict__ x0, /* f32[2, 4, 300, 24] */
    const float *__restrict__ x1, /* f32[2, 1, 600, 24] */
    const float *__restrict__ x2, /* f32[2, 1, 600, 40] */
    const bool *__restrict__ x3, /* b1[2, 1, 1, 600] */
    const int64_t *__restrict__ x4, /* i64[2] */
    float *__restrict__ tiled_attention) /* f32[2, 4, 12300] */
{
    for (int64_t row = blockIdx.x; row < 40; row += gridDim.x) {
        const int64_t batch = row / 5;
        const int64_t first = row % 5 * 64;
        const int64_t limit = first + 64 < 300 ? first + 64 : 300;
        for (int64_t number = first + threadIdx.x; number < limit; number += blockDim.x) {
            const float *const own_q = x0 + batch*7200 + number*24;
            float sums[40];
            for (int64_t at = 0; at < 40; at++) sums[at] = 0;
            float most = -GC_INFINITY;
            float total = 0;
            for (int64_t key = 0; key < 600; key++) {
                const float *const own_k = x1 + batch/4*14400 + key*24;
                const float *const own_v = x2 + batch/4*24000 + key*40;
                float score = 0;
                for (int64_t at = 0; at < 24; at++) score += own_q[at] * own_k[at];
                score *= (float)(0.125 * 1.4426950408889634);
                if (!x3[batch/4*600 + key]) score = -GC_INFINITY;
                if (key > number) score = -GC_INFINITY;
                if (score > most) {
                    const float fall = gc_exp2_f32(most - score);
                    for (int64_t at = 0; at < 40; at++) sums[at] *= fall;
                    total *= fall;
                    most = score;
                }
                float share = gc_exp2_f32(score - (most == -GC_INFINITY ? 0 : most));
                total += share;
                share *= (gc_uniform_f32((gc_u64)x4[0], (gc_u64)x4[1], (gc_u64)((batch*300 + number)*600 + key)) >= (float)0.1 ? (float)(1 / (1 - 0.1)) : 0);
                for (int64_t at = 0; at < 40; at++) sums[at] += share * own_v[at];
            }
            float *const result = tiled_attention + batch*12300 + number*40;
            float *const lse = tiled_attention + batch*12300 + 12000 + number;
            for (int64_t at = 0; at < 40; at++) result[at] = total == 0 ? 0 : sums[at] / total;
            *lse = total == 0 ? (float)GC_INFINITY : (float)((most + gc_log2_f32(total)) / 1.4426950408889634);
        }
    }
}
