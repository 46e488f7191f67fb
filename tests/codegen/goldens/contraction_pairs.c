#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm_halves.h"

/* 13 lines by 32 lanes of acc[m 64, n 120], sums over k_pair 201, bf16 */
static __attribute__((noinline)) void product__acc_tile_13x32(const gc_bf16 *restrict lines, const gc_bf16 *restrict lanes, float *restrict sums, int64_t steps) {
    gc_f32x16 sum[13][2];
    GC_UNROLL
    for (int i = 0; i < 13; i++) {
        GC_UNROLL
        for (int j = 0; j < 2; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t step = 0; step < steps; step++) {
        GC_FORGET_LOADS;
        const gc_bf16 *line = lines + step*26;
        const gc_bf16 *lane = lanes + step*64;
        const gc_bf16x32 lane0 = gc_load_bf16x32(lane);
        const gc_bf16x32 lane1 = gc_load_bf16x32(lane + 32);
        GC_UNROLL
        for (int i = 0; i < 13; i++) {
            const gc_bf16x32 value = gc_pair_bf16x32(line + i*2);
            sum[i][0] = gc_add_bf16x32(sum[i][0], value, lane0);
            sum[i][1] = gc_add_bf16x32(sum[i][1], value, lane1);
        }
    }
    GC_UNROLL
    for (int i = 0; i < 13; i++) {
        gc_store_f32x16(sums + i*32 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*32 + 16, sum[i][1]);
    }
}

/* 13 lines by 24 lanes of acc[m 64, n 120], sums over k_pair 201, bf16 */
static __attribute__((noinline)) void product__acc_tile_13x24(const gc_bf16 *restrict lines, const gc_bf16 *restrict lanes, float *restrict sums, int64_t steps) {
    gc_f32x16 sum[13][2];
    GC_UNROLL
    for (int i = 0; i < 13; i++) {
        GC_UNROLL
        for (int j = 0; j < 2; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t step = 0; step < steps; step++) {
        GC_FORGET_LOADS;
        const gc_bf16 *line = lines + step*26;
        const gc_bf16 *lane = lanes + step*64;
        const gc_bf16x32 lane0 = gc_load_bf16x32(lane);
        const gc_bf16x32 lane1 = gc_load_bf16x32(lane + 32);
        GC_UNROLL
        for (int i = 0; i < 13; i++) {
            const gc_bf16x32 value = gc_pair_bf16x32(line + i*2);
            sum[i][0] = gc_add_bf16x32(sum[i][0], value, lane0);
            sum[i][1] = gc_add_bf16x32(sum[i][1], value, lane1);
        }
    }
    GC_UNROLL
    for (int i = 0; i < 13; i++) {
        gc_store_f32x16(sums + i*32 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*32 + 16, sum[i][1]);
    }
}

void product(
    gc_thread *t,
    const gc_bf16 *restrict x, /* bf16[1, 64, 401] */
    const gc_bf16 *restrict y, /* bf16[1, 401, 120] */
    const gc_bf16 *restrict bias, /* bf16[120] */
    float *restrict out, /* f32[1, 64, 120] */
    unsigned char *restrict own)
{
    /* acc[m 64, n 120], sums over k_pair 201, bf16 */
    /* tile: 13 (m 13) lines, packed by each thread, by 32 (n 32) lanes, packed by each thread */
    {
        int64_t begin, end;
        gc_share(t, 20, 1, &begin, &end);
        int64_t kept = -1; /* the panel that is packed */
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t panel_begin = unit / 5;
            const int64_t strip_begin = unit % 5;
            const int64_t strip_end = strip_begin + 1;
            const int64_t panel_end = panel_begin + 1;
            const int64_t k_pair_from = 0;
            const int64_t k_pair_to = 201;
            for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                const int64_t m_from = strip * 13;
                {
                    /* 13 lines for each pair of steps of the depth, transposed */
                    gc_bf16 *restrict packed = (gc_bf16 *)(own + 25792) + (strip - strip_begin)*5226;
                    gc_bf16 *restrict row = packed + 0*26;
                    const gc_bf16 *restrict from = x + (m_from*401 + k_pair_from*2);
                    const int64_t valid = gc_least(13, 64 - m_from);
                    for (int64_t i = 0; i >= 0; i -= 16) {
                        gc_pack_across_bf16x32(from + i*401, 401, (int)gc_most(gc_least(valid - i, 16), 0), gc_least(k_pair_to*2, 401) - k_pair_from*2, row + 0 + i*2, 26);
                    }
                }
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                if (kept == panel) continue;
                kept = panel;
                const int64_t n_from = panel * 32;
                {
                    /* 32 lanes for each pair of steps of the depth, transposed */
                    gc_bf16 *restrict packed = (gc_bf16 *)(own + 0) + (panel - panel_begin)*12864;
                    gc_bf16 *restrict row = packed + 0*64;
                    const gc_bf16 *restrict from = y + (n_from*401 + k_pair_from*2);
                    const int64_t valid = gc_least(32, 120 - n_from);
                    for (int64_t i = 16; i >= 0; i -= 16) {
                        gc_pack_across_bf16x32(from + i*401, 401, (int)gc_most(gc_least(valid - i, 16), 0), gc_least(k_pair_to*2, 401) - k_pair_from*2, row + 0 + i*2, 64);
                    }
                }
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t n_from = panel * 32;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t m_from = strip * 13;
                    float sums[416] __attribute__((aligned(64)));
                    if (n_from + 32 <= 120) {
                        product__acc_tile_13x32((gc_bf16 *)(own + 25792) + (strip - strip_begin)*5226, (gc_bf16 *)(own + 0) + (panel - panel_begin)*12864, sums, (k_pair_to - k_pair_from));
                    } else {
                        product__acc_tile_13x24((gc_bf16 *)(own + 25792) + (strip - strip_begin)*5226, (gc_bf16 *)(own + 0) + (panel - panel_begin)*12864, sums, (k_pair_to - k_pair_from));
                    }
                    for (int64_t m_in = 0; m_in < gc_least(13, 64 - m_from); m_in++) {
                        /* The last run overlaps the one before it. */
                        for (int64_t run = 0; run < gc_least(32, 120 - n_from); run += 16) {
                            const int64_t begin = gc_least(run, gc_least(32, 120 - n_from) - 16);
                            #pragma omp simd
                            for (int64_t n_in = begin; n_in < begin + 16; n_in++) {
                                const float acc = sums[m_in*32 + n_in];
                                const float result = gc_max_f32(acc + gc_bf16_to_f32(bias[n_from + n_in]), 0.0f);
                                out[m_from*120 + m_in*120 + n_from + n_in] = result;
                            }
                        }
                    }
                }
            }
        }
    }
}
