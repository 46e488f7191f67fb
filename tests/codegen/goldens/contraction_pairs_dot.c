#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm_halves.h"

/* 2 lines by 3 lanes of acc[m 2, n 3], sums over k_pair 2501, bf16 */
static __attribute__((noinline)) void product__acc_tile_2x3(const gc_bf16 *restrict lines, const gc_bf16 *restrict lanes, float *restrict sums, int64_t k_pair_from, int64_t k_pair_to) {
    gc_f32x16 sum[2][3];
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        GC_UNROLL
        for (int j = 0; j < 3; j++) sum[i][j] = (gc_f32x16){0};
    }
    int64_t k_pair = k_pair_from;
    for (; k_pair + 16 <= gc_least(k_pair_to, 2500); k_pair += 16) {
        GC_FORGET_LOADS;
        const gc_bf16 *line = lines + k_pair*2;
        const gc_bf16 *lane = lanes + k_pair*2;
        gc_bf16x32 lane0 = gc_load_bf16x32(lane);
        GC_KEEP(lane0);
        gc_bf16x32 lane1 = gc_load_bf16x32(lane + 5001);
        GC_KEEP(lane1);
        gc_bf16x32 lane2 = gc_load_bf16x32(lane + 10002);
        GC_KEEP(lane2);
        GC_UNROLL
        for (int m_in = 0; m_in < 2; m_in++) {
            const gc_bf16x32 value = gc_load_bf16x32(line + m_in*5001);
            sum[m_in][0] = gc_add_bf16x32(sum[m_in][0], value, lane0);
            sum[m_in][1] = gc_add_bf16x32(sum[m_in][1], value, lane1);
            sum[m_in][2] = gc_add_bf16x32(sum[m_in][2], value, lane2);
        }
    }
    const int64_t left = gc_least(k_pair_to*2, 5001) - k_pair*2;
    if (left > 0) {
        const gc_bf16 *line = lines + k_pair*2;
        const gc_bf16 *lane = lanes + k_pair*2;
        const gc_bf16x32 lane0 = gc_load_between_bf16x32(lane, 0, left);
        const gc_bf16x32 lane1 = gc_load_between_bf16x32(lane + 5001, 0, left);
        const gc_bf16x32 lane2 = gc_load_between_bf16x32(lane + 10002, 0, left);
        GC_UNROLL
        for (int m_in = 0; m_in < 2; m_in++) {
            const gc_bf16x32 value = gc_load_between_bf16x32(line + m_in*5001, 0, left);
            sum[m_in][0] = gc_add_bf16x32(sum[m_in][0], value, lane0);
            sum[m_in][1] = gc_add_bf16x32(sum[m_in][1], value, lane1);
            sum[m_in][2] = gc_add_bf16x32(sum[m_in][2], value, lane2);
        }
    }
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        sums[i*3 + 0] = gc_sum_f32x16(sum[i][0]);
        sums[i*3 + 1] = gc_sum_f32x16(sum[i][1]);
        sums[i*3 + 2] = gc_sum_f32x16(sum[i][2]);
    }
}

void product(
    gc_thread *t,
    const gc_bf16 *restrict x, /* bf16[1, 2, 5001] */
    const gc_bf16 *restrict y, /* bf16[1, 5001, 3] */
    const gc_bf16 *restrict bias, /* bf16[3] */
    float *restrict out, /* f32[1, 2, 3] */
    unsigned char *restrict shared)
{
    if (t->tid != 0) {
        return;
    }
    /* acc[m 2, n 3], sums over k_pair 2501, bf16 */
    /* tile: 2 (m 2) lines, read in place, by 3 (n 3) lanes, read in place; depth in 4 parts, joined in order */
    if (t->tid == 0) {
        {
            int64_t begin, end;
            begin = 0;
            end = 4;
            for (int64_t unit = begin; unit < end; unit++) {
                const int64_t split = unit;
                const int64_t strip_begin = 0;
                const int64_t panel_begin = 0;
                const int64_t strip_end = 1;
                const int64_t panel_end = 1;
                const int64_t k_pair_from = split*626;
                const int64_t k_pair_to = gc_least((split + 1)*626, 2501);
                for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                    const int64_t n_from = 0;
                    for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                        const int64_t m_from = 0;
                        float *restrict sums = (float *)(shared + 0) + split*6;
                        product__acc_tile_2x3(x + (m_from*5001), y + (n_from*5001), sums, k_pair_from, k_pair_to);
                    }
                }
            }
        }
        {
            int64_t begin, end;
            begin = 0;
            end = 1;
            for (int64_t tile = begin; tile < end; tile++) {
                const int64_t panel = 0;
                const int64_t strip = 0;
                const int64_t n_from = 0;
                const int64_t m_from = 0;
                float sums[6] __attribute__((aligned(64))) = {0};
                for (int64_t split = 0; split < 4; split++) {
                    const float *restrict part = (float *)(shared + 0) + split*6;
                    for (int i = 0; i < 6; i++) sums[i] += part[i];
                }
                for (int64_t m_in = 0; m_in < 2; m_in++) {
                    for (int64_t n_in = 0; n_in < 3; n_in++) {
                        const float acc = sums[m_in*3 + n_in];
                        const float result = acc + gc_bf16_to_f32(bias[n_from + n_in]);
                        out[m_from*3 + m_in*3 + n_from + n_in] = result;
                    }
                }
            }
        }
    }
}
