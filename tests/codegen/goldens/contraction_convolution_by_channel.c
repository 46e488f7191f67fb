#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 1 lines by 64 lanes of acc[1, oh 7 ow 7] for g 32, sums over kh 3 kw 3, f32 */
static __attribute__((noinline)) void convolution__acc_tile_1x64(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t kh_from, int64_t kh_to) {
    gc_f32x16 sum[1][4];
    GC_UNROLL
    for (int i = 0; i < 1; i++) {
        GC_UNROLL
        for (int j = 0; j < 4; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t kh = kh_from; kh < kh_to; kh++) {
        for (int64_t kw = 0; kw < 3; kw++) {
            GC_FORGET_LOADS;
            const float *line = lines + kh*3 + kw;
            const float *lane = lanes + kh*9 + kw;
            const gc_f32x16 lane0 = gc_load_f32x16(lane);
            const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
            const gc_f32x16 lane2 = gc_load_f32x16(lane + 32);
            const gc_f32x16 lane3 = gc_load_between_f32x16(lane + 48, 0, 13);
            const float value = line[0];
            sum[0][0] += value * lane0;
            sum[0][1] += value * lane1;
            sum[0][2] += value * lane2;
            sum[0][3] += value * lane3;
        }
    }
    GC_UNROLL
    for (int i = 0; i < 1; i++) {
        gc_store_f32x16(sums + i*64 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*64 + 16, sum[i][1]);
        gc_store_f32x16(sums + i*64 + 32, sum[i][2]);
        gc_store_f32x16(sums + i*64 + 48, sum[i][3]);
    }
}

void convolution(
    gc_thread *t,
    const float *restrict x, /* f32[1, 32, 7, 7] */
    const float *restrict w, /* f32[32, 1, 3, 3] */
    const float *restrict bias, /* f32[32] */
    float *restrict out, /* f32[1, 32, 7, 7] */
    unsigned char *restrict own)
{
    if (t->tid != 0) {
        return;
    }
    /* acc[1, oh 7 ow 7] for g 32, sums over kh 3 kw 3, f32 */
    /* tile: 1 lines, read in place, by 64 (oh 7, ow 7) lanes, read in place */
    if (t->tid == 0) {
        {
            int64_t begin, end;
            begin = 0;
            end = 32;
            /* x with zeros around it: planes of 9 x 9 */
            float *const x_padded = (float *)(own + 0);
            int64_t copied = -1; /* what is copied there */
            for (int64_t unit = begin; unit < end; unit++) {
                const int64_t g = unit;
                const int64_t strip_begin = 0;
                const int64_t panel_begin = 0;
                if (copied != g) {
                    copied = g;
                    for (int64_t plane = 0; plane < 1; plane++) {
                        float *restrict to = x_padded + 0;
                        const float *restrict from = x + (g*49);
                        for (int64_t edge0 = 0; edge0 < 9; edge0++) {
                            float *restrict row = to + edge0*9;
                            if (edge0 >= 1 && edge0 < 8) {
                                for (int i = 0; i < 1; i++) row[i] = 0;
                                for (int i = 0; i < 7; i++) row[1 + i] = from[edge0*7 - 7 + i];
                                for (int i = 8; i < 9; i++) row[i] = 0;
                            } else {
                                for (int i = 0; i < 9; i++) row[i] = 0;
                            }
                        }
                    }
                }
                const int64_t strip_end = 1;
                const int64_t panel_end = 1;
                const int64_t kh_from = 0;
                const int64_t kh_to = 3;
                for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                    const int64_t oh_from = 0;
                    const int64_t ow_from = 0;
                    for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                        float sums[64] __attribute__((aligned(64)));
                        convolution__acc_tile_1x64(w + (g*9), x_padded + (oh_from*9 + ow_from), sums, kh_from, kh_to);
                        for (int64_t oh_in = 0; oh_in < 7; oh_in++) {
                            /* The last run overlaps the one before it. */
                            for (int64_t run = 0; run < 7; run += 4) {
                                const int64_t begin = gc_least(run, 7 - 4);
                                #pragma omp simd
                                for (int64_t ow_in = begin; ow_in < begin + 4; ow_in++) {
                                    const float acc = sums[oh_in*9 + ow_in];
                                    const float result = acc + bias[g];
                                    out[g*49 + oh_from*7 + oh_in*7 + ow_from + ow_in] = result;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
