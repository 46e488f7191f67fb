#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 14 lines by 32 lanes of acc[m 64, n 120], sums over k 400, f32 */
static __attribute__((noinline)) void product__acc_tile_14x32(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t k_from, int64_t k_to) {
    gc_f32x16 sum[14][2];
    GC_UNROLL
    for (int i = 0; i < 14; i++) {
        GC_UNROLL
        for (int j = 0; j < 2; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t k = k_from; k < k_to; k++) {
        GC_FORGET_LOADS;
        const float *line = lines + k;
        const float *lane = lanes + k*32 - k_from*32;
        const gc_f32x16 lane0 = gc_load_f32x16(lane);
        const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
        GC_UNROLL
        for (int n_in = 0; n_in < 14; n_in++) {
            const float value = line[n_in*400];
            sum[n_in][0] += value * lane0;
            sum[n_in][1] += value * lane1;
        }
    }
    GC_UNROLL
    for (int i = 0; i < 14; i++) {
        gc_store_f32x16(sums + i*32 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*32 + 16, sum[i][1]);
    }
}

/* 8 lines by 32 lanes of acc[m 64, n 120], sums over k 400, f32 */
static __attribute__((noinline)) void product__acc_tile_8x32(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t k_from, int64_t k_to) {
    gc_f32x16 sum[8][2];
    GC_UNROLL
    for (int i = 0; i < 8; i++) {
        GC_UNROLL
        for (int j = 0; j < 2; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t k = k_from; k < k_to; k++) {
        GC_FORGET_LOADS;
        const float *line = lines + k;
        const float *lane = lanes + k*32 - k_from*32;
        const gc_f32x16 lane0 = gc_load_f32x16(lane);
        const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
        GC_UNROLL
        for (int n_in = 0; n_in < 8; n_in++) {
            const float value = line[n_in*400];
            sum[n_in][0] += value * lane0;
            sum[n_in][1] += value * lane1;
        }
    }
    GC_UNROLL
    for (int i = 0; i < 8; i++) {
        gc_store_f32x16(sums + i*32 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*32 + 16, sum[i][1]);
    }
}

void product(
    gc_thread *t,
    const float *restrict x, /* f32[1, 64, 400] */
    const float *restrict y, /* f32[1, 400, 120] */
    const float *restrict bias, /* f32[120] */
    float *restrict out, /* f32[1, 64, 120] */
    unsigned char *restrict own)
{
    /* acc[m 64, n 120], sums over k 400, f32 */
    /* tile: 14 (n 14) lines, read in place, by 32 (m 32) lanes, packed by each thread */
    {
        int64_t begin, end;
        gc_share(t, 18, 1, &begin, &end);
        int64_t kept = -1; /* the panel that is packed */
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t panel_begin = unit / 9;
            const int64_t strip_begin = unit % 9;
            const int64_t strip_end = strip_begin + 1;
            const int64_t panel_end = panel_begin + 1;
            const int64_t k_from = 0;
            const int64_t k_to = 400;
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                if (kept == panel) continue;
                kept = panel;
                const int64_t m_from = panel * 32;
                {
                    /* 32 lanes for each step of the depth, transposed */
                    float *restrict packed = (float *)(own + 0) + (panel - panel_begin)*12800;
                    float *restrict row = packed + 0*32;
                    const float *restrict from = x + (m_from*400 + k_from);
                    const int64_t valid = 32;
                    for (int64_t i = 16; i >= 0; i -= 16) {
                        gc_pack_across_f32x16(from + i*400, 400, (int)gc_most(gc_least(valid - i, 16), 0), (k_to - k_from), row + 0 + i, 32);
                    }
                }
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t m_from = panel * 32;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t n_from = strip * 14;
                    float sums[448] __attribute__((aligned(64)));
                    if (n_from + 14 <= 120) {
                        product__acc_tile_14x32(y + (n_from*400), (float *)(own + 0) + (panel - panel_begin)*12800, sums, k_from, k_to);
                    } else {
                        product__acc_tile_8x32(y + (n_from*400), (float *)(own + 0) + (panel - panel_begin)*12800, sums, k_from, k_to);
                    }
                    /* The tile turned over, so that results are written in runs. */
                    float turned[512] __attribute__((aligned(64)));
                    for (int i = 0; i < 14; i += 16) {
                        for (int j = 0; j < 32; j += 16) {
                            gc_turn_f32x16(sums + i*32 + j, 32, (int)gc_least(14 - i, 16), turned + j*16 + i, 16);
                        }
                    }
                    for (int64_t m_in = 0; m_in < 32; m_in++) {
                        #pragma omp simd
                        for (int64_t n_in = 0; n_in < gc_least(14, 120 - n_from); n_in++) {
                            const float acc = turned[m_in*16 + n_in];
                            const float result = gc_max_f32(acc + bias[n_from + n_in], 0.0f);
                            out[m_from*120 + m_in*120 + n_from + n_in] = result;
                        }
                    }
                }
            }
        }
    }
}
