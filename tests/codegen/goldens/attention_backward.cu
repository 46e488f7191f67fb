#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_random.h"

/* tiled_attention_backward f32[2, 4, 52800]: tiled_attention_backward */
extern "C" __global__ void tiled_attention_backward(
    gc_error *report,
    const float *__restrict__ x0, /* f32[2, 4, 300, 40] */
    const float *__restrict__ x1, /* f32[2, 4, 300, 1] */
    const float *__restrict__ x2, /* f32[2, 4, 300, 1] */
    const float *__restrict__ x3, /* f32[2, 4, 300, 24] */
    const float *__restrict__ x4, /* f32[2, 1, 600, 24] */
    const float *__restrict__ x5, /* f32[2, 1, 600, 40] */
    const bool *__restrict__ x6, /* b1[2, 1, 1, 600] */
    const int64_t *__restrict__ x7, /* i64[2] */
    float *__restrict__ tiled_attention_backward) /* f32[2, 4, 52800] */
{
    for (int64_t row = blockIdx.x; row < 16; row += gridDim.x) {
        const int64_t batch = row / 2;
        const int64_t start = row % 2 * 320;
        const int64_t limit = start + 320 < 600 ? start + 320 : 600;
        float *const packed = tiled_attention_backward + batch*52800;
        for (int64_t key = start + threadIdx.x; key < limit; key += blockDim.x) {
            float to_k[24];
            float to_v[40];
            for (int64_t at = 0; at < 24; at++) to_k[at] = 0;
            for (int64_t at = 0; at < 40; at++) to_v[at] = 0;
            for (int64_t number = key; number < 300; number++) {
                const float *const own_q = x3 + batch*7200 + number*24;
                const float *const own_g = x0 + batch*12000 + number*40;
                const float *const own_k = x4 + batch/4*14400 + key*24;
                const float *const own_v = x5 + batch/4*24000 + key*40;
                float score = 0;
                for (int64_t at = 0; at < 24; at++) score += own_q[at] * own_k[at];
                score *= (float)(0.125 * 1.4426950408889634);
                if (!x6[batch/4*600 + key]) score = -GC_INFINITY;
                if (key > number) score = -GC_INFINITY;
                float share = gc_exp2_f32(score - x1[batch*300 + number] * (float)1.4426950408889634);
                float flow = 0;
                for (int64_t at = 0; at < 40; at++) flow += own_g[at] * own_v[at];
                const float kept = (gc_uniform_f32((gc_u64)x7[0], (gc_u64)x7[1], (gc_u64)((batch*300 + number)*600 + key)) >= (float)0.1 ? (float)(1 / (1 - 0.1)) : 0);
                flow *= kept;
                flow = share * (flow - x2[batch*300 + number]) * (float)0.125;
                share *= kept;
                for (int64_t at = 0; at < 24; at++) to_k[at] += flow * own_q[at];
                for (int64_t at = 0; at < 40; at++) to_v[at] += share * own_g[at];
            }
            for (int64_t at = 0; at < 24; at++) packed[14400 + key*24 + at] = to_k[at];
            for (int64_t at = 0; at < 40; at++) packed[28800 + key*40 + at] = to_v[at];
        }
        for (int64_t number = threadIdx.x; number < 300; number += blockDim.x) {
            float to_q[24];
            for (int64_t at = 0; at < 24; at++) to_q[at] = 0;
            for (int64_t key = start; key < limit; key++) {
                const float *const own_q = x3 + batch*7200 + number*24;
                const float *const own_g = x0 + batch*12000 + number*40;
                const float *const own_k = x4 + batch/4*14400 + key*24;
                const float *const own_v = x5 + batch/4*24000 + key*40;
                float score = 0;
                for (int64_t at = 0; at < 24; at++) score += own_q[at] * own_k[at];
                score *= (float)(0.125 * 1.4426950408889634);
                if (!x6[batch/4*600 + key]) score = -GC_INFINITY;
                if (key > number) score = -GC_INFINITY;
                float share = gc_exp2_f32(score - x1[batch*300 + number] * (float)1.4426950408889634);
                float flow = 0;
                for (int64_t at = 0; at < 40; at++) flow += own_g[at] * own_v[at];
                const float kept = (gc_uniform_f32((gc_u64)x7[0], (gc_u64)x7[1], (gc_u64)((batch*300 + number)*600 + key)) >= (float)0.1 ? (float)(1 / (1 - 0.1)) : 0);
                flow *= kept;
                flow = share * (flow - x2[batch*300 + number]) * (float)0.125;
                share *= kept;
                for (int64_t at = 0; at < 24; at++) to_q[at] += flow * own_k[at];
            }
            for (int64_t at = 0; at < 24; at++) packed[row % 2 * 7200 + number*24 + at] = to_q[at];
        }
    }
}
