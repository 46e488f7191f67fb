#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 6 lines by 64 lanes of acc[m 300, n 500], sums over k 1024, f32 */
static __attribute__((noinline)) void product__acc_tile_6x64(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t k_from, int64_t k_to, bool fresh) {
    gc_f32x16 sum[6][4];
    if (!fresh) {
        GC_UNROLL
        for (int i = 0; i < 6; i++) {
            sum[i][0] = gc_load_f32x16(sums + i*64 + 0);
            sum[i][1] = gc_load_f32x16(sums + i*64 + 16);
            sum[i][2] = gc_load_f32x16(sums + i*64 + 32);
            sum[i][3] = gc_load_f32x16(sums + i*64 + 48);
        }
    } else {
        GC_UNROLL
        for (int i = 0; i < 6; i++) {
            GC_UNROLL
            for (int j = 0; j < 4; j++) sum[i][j] = (gc_f32x16){0};
        }
    }
    for (int64_t k = k_from; k < k_to; k++) {
        GC_FORGET_LOADS;
        const float *line = lines + k;
        const float *lane = lanes + k*64 - k_from*64;
        const gc_f32x16 lane0 = gc_load_f32x16(lane);
        const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
        const gc_f32x16 lane2 = gc_load_f32x16(lane + 32);
        const gc_f32x16 lane3 = gc_load_f32x16(lane + 48);
        GC_UNROLL
        for (int m_in = 0; m_in < 6; m_in++) {
            const float value = line[m_in*1024];
            sum[m_in][0] += value * lane0;
            sum[m_in][1] += value * lane1;
            sum[m_in][2] += value * lane2;
            sum[m_in][3] += value * lane3;
        }
    }
    GC_UNROLL
    for (int i = 0; i < 6; i++) {
        gc_store_f32x16(sums + i*64 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*64 + 16, sum[i][1]);
        gc_store_f32x16(sums + i*64 + 32, sum[i][2]);
        gc_store_f32x16(sums + i*64 + 48, sum[i][3]);
    }
}

/* 6 lines by 52 lanes of acc[m 300, n 500], sums over k 1024, f32 */
static __attribute__((noinline)) void product__acc_tile_6x52(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t k_from, int64_t k_to, bool fresh) {
    gc_f32x16 sum[6][4];
    if (!fresh) {
        GC_UNROLL
        for (int i = 0; i < 6; i++) {
            sum[i][0] = gc_load_f32x16(sums + i*64 + 0);
            sum[i][1] = gc_load_f32x16(sums + i*64 + 16);
            sum[i][2] = gc_load_f32x16(sums + i*64 + 32);
            sum[i][3] = gc_load_f32x16(sums + i*64 + 48);
        }
    } else {
        GC_UNROLL
        for (int i = 0; i < 6; i++) {
            GC_UNROLL
            for (int j = 0; j < 4; j++) sum[i][j] = (gc_f32x16){0};
        }
    }
    for (int64_t k = k_from; k < k_to; k++) {
        GC_FORGET_LOADS;
        const float *line = lines + k;
        const float *lane = lanes + k*64 - k_from*64;
        const gc_f32x16 lane0 = gc_load_f32x16(lane);
        const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
        const gc_f32x16 lane2 = gc_load_f32x16(lane + 32);
        const gc_f32x16 lane3 = gc_load_f32x16(lane + 48);
        GC_UNROLL
        for (int m_in = 0; m_in < 6; m_in++) {
            const float value = line[m_in*1024];
            sum[m_in][0] += value * lane0;
            sum[m_in][1] += value * lane1;
            sum[m_in][2] += value * lane2;
            sum[m_in][3] += value * lane3;
        }
    }
    GC_UNROLL
    for (int i = 0; i < 6; i++) {
        gc_store_f32x16(sums + i*64 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*64 + 16, sum[i][1]);
        gc_store_f32x16(sums + i*64 + 32, sum[i][2]);
        gc_store_f32x16(sums + i*64 + 48, sum[i][3]);
    }
}

void product(
    gc_thread *t,
    const float *restrict x, /* f32[1, 300, 1024] */
    const float *restrict y, /* f32[1, 1024, 500] */
    const float *restrict bias, /* f32[500] */
    float *restrict out, /* f32[1, 300, 500] */
    unsigned char *restrict own)
{
    /* acc[m 300, n 500], sums over k 1024, f32 */
    /* tile: 6 (m 6) lines, read in place, by 64 (n 64) lanes, packed by each thread; k in blocks of 342 */
    {
        int64_t begin, end;
        gc_share(t, 8, 1, &begin, &end);
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t strip_begin = 0;
            const int64_t panel_begin = unit;
            const int64_t strip_end = 50;
            const int64_t panel_end = panel_begin + 1;
            bool fresh = true;
            for (int64_t k_from = 0; k_from < 1024; k_from += 342) {
                const int64_t k_to = gc_least(k_from + 342, 1024);
                for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                    const int64_t n_from = panel * 64;
                    {
                        /* 64 lanes for each step of the depth, copied in runs */
                        float *restrict packed = (float *)(own + 0) + (panel - panel_begin)*21888;
                        for (int64_t k = k_from; k < k_to; k++) {
                            float *restrict row = packed + (k - k_from)*64;
                            const float *restrict from = y + (k*500 + n_from);
                            gc_fetch(from + 8000, 64*sizeof(*from));
                            const int64_t valid = gc_least(64, 500 - n_from);
                            if (valid == 64) {
                                for (int i = 0; i < 64; i++) row[0 + i] = from[i];
                            } else {
                                for (int i = 0; i < 64; i++) row[0 + i] = i < valid ? from[i] : 0;
                            }
                        }
                    }
                }
                for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                    const int64_t n_from = panel * 64;
                    for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                        const int64_t m_from = strip * 6;
                        float *restrict sums = (float *)(own + 87616) + ((panel - panel_begin)*50 + (strip - strip_begin))*384;
                        if (n_from + 64 <= 500) {
                            product__acc_tile_6x64(x + (m_from*1024), (float *)(own + 0) + (panel - panel_begin)*21888, sums, k_from, k_to, fresh);
                        } else {
                            product__acc_tile_6x52(x + (m_from*1024), (float *)(own + 0) + (panel - panel_begin)*21888, sums, k_from, k_to, fresh);
                        }
                    }
                }
                fresh = false;
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t n_from = panel * 64;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t m_from = strip * 6;
                    float *restrict sums = (float *)(own + 87616) + ((panel - panel_begin)*50 + (strip - strip_begin))*384;
                    for (int64_t m_in = 0; m_in < 6; m_in++) {
                        /* The last run overlaps the one before it. */
                        for (int64_t run = 0; run < gc_least(64, 500 - n_from); run += 16) {
                            const int64_t begin = gc_least(run, gc_least(64, 500 - n_from) - 16);
                            #pragma omp simd
                            for (int64_t n_in = begin; n_in < begin + 16; n_in++) {
                                const float acc = sums[m_in*64 + n_in];
                                const float result = acc + bias[n_from + n_in];
                                out[m_from*500 + m_in*500 + n_from + n_in] = result;
                            }
                        }
                    }
                }
            }
        }
    }
}
