#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 6 lines by 56 lanes of acc[n 64 h 14 w 14, ic 6], sums over oc 16 kh 5 kw 5, f32 */
static __attribute__((noinline)) void input_gradient__acc_tile_6x56(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t oc_from, int64_t oc_to, int64_t h, int64_t w_from) {
    gc_f32x16 sum[6][4];
    GC_UNROLL
    for (int i = 0; i < 6; i++) {
        GC_UNROLL
        for (int j = 0; j < 4; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t oc = oc_from; oc < oc_to; oc++) {
        for (int64_t kh = 0; kh < 5; kh++) {
            if (!(h - kh >= 0 && h - kh < 10)) continue;
            for (int64_t kw = 0; kw < 5; kw++) {
                GC_FORGET_LOADS;
                const float *line = lines + oc*150 + kh*5 + kw;
                const float *lane = lanes + oc*100 - kh*10 - kw;
                const int64_t low = kw - w_from;
                const int64_t high = gc_least(kw - w_from + 10, 14 - w_from);
                const gc_f32x16 lane0 = gc_load_between_f32x16(lane, low, high);
                const gc_f32x16 lane1 = gc_load_between_f32x16(lane + 1600, low, high);
                const gc_f32x16 lane2 = gc_load_between_f32x16(lane + 3200, low, high);
                const gc_f32x16 lane3 = gc_load_between_f32x16(lane + 4800, low, high);
                GC_UNROLL
                for (int ic_in = 0; ic_in < 6; ic_in++) {
                    const float value = line[ic_in*25];
                    sum[ic_in][0] += value * lane0;
                    sum[ic_in][1] += value * lane1;
                    sum[ic_in][2] += value * lane2;
                    sum[ic_in][3] += value * lane3;
                }
            }
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

void input_gradient(
    gc_thread *t,
    const float *restrict g, /* f32[64, 16, 10, 10] */
    const float *restrict weight, /* f32[16, 6, 5, 5] */
    float *restrict dx) /* f32[64, 6, 14, 14] */
{
    /* acc[n 64 h 14 w 14, ic 6], sums over oc 16 kh 5 kw 5, f32 */
    /* tile: 6 (ic 6) lines, read in place, by 64 (n 4, w 16) lanes, read in place */
    {
        int64_t begin, end;
        gc_share(t, 16, 1, &begin, &end);
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t strip_begin = 0;
            const int64_t panel_begin = unit * 14;
            const int64_t strip_end = 1;
            const int64_t panel_end = panel_begin + 14;
            const int64_t oc_from = 0;
            const int64_t oc_to = 16;
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t n_from = panel / 14 * 4;
                const int64_t h = panel % 14;
                const int64_t w_from = 0;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t ic_from = 0;
                    float sums[384] __attribute__((aligned(64)));
                    input_gradient__acc_tile_6x56(weight + (ic_from*25), g + (n_from*1600 + h*10 + w_from), sums, oc_from, oc_to, h, w_from);
                    for (int64_t ic_in = 0; ic_in < 6; ic_in++) {
                        for (int64_t n_in = 0; n_in < 4; n_in++) {
                            /* The last run overlaps the one before it. */
                            for (int64_t run = 0; run < 14; run += 8) {
                                const int64_t begin = gc_least(run, 14 - 8);
                                #pragma omp simd
                                for (int64_t w_in = begin; w_in < begin + 8; w_in++) {
                                    const float acc = sums[ic_in*64 + n_in*16 + w_in];
                                    dx[n_from*1176 + n_in*1176 + ic_from*196 + ic_in*196 + h*14 + w_from + w_in] = acc;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
