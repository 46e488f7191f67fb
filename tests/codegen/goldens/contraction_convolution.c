#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 20 lines by 16 lanes of acc[oc 16, n 64 oh 10 ow 10], sums over ic 6 kh 5 kw 5, f32 */
static __attribute__((noinline)) void convolution__acc_tile_20x16(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t ic_from, int64_t ic_to) {
    gc_f32x16 sum[20][1];
    GC_UNROLL
    for (int i = 0; i < 20; i++) {
        GC_UNROLL
        for (int j = 0; j < 1; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t ic = ic_from; ic < ic_to; ic++) {
        for (int64_t kh = 0; kh < 5; kh++) {
            for (int64_t kw = 0; kw < 5; kw++) {
                GC_FORGET_LOADS;
                const float *line = lines + ic*196 + kh*14 + kw;
                const float *lane = lanes + ic*400 + kh*80 + kw*16 - ic_from*400;
                const gc_f32x16 lane0 = gc_load_f32x16(lane);
                GC_UNROLL
                for (int oh_in = 0; oh_in < 2; oh_in++) {
                    GC_UNROLL
                    for (int ow_in = 0; ow_in < 10; ow_in++) {
                        const float value = line[oh_in*14 + ow_in];
                        sum[oh_in*10 + ow_in][0] += value * lane0;
                    }
                }
            }
        }
    }
    GC_UNROLL
    for (int i = 0; i < 20; i++) {
        gc_store_f32x16(sums + i*16 + 0, sum[i][0]);
    }
}

void convolution(
    gc_thread *t,
    const float *restrict x, /* f32[64, 6, 14, 14] */
    const float *restrict w, /* f32[16, 6, 5, 5] */
    const float *restrict bias, /* f32[16] */
    float *restrict out, /* f32[64, 16, 10, 10] */
    unsigned char *restrict own)
{
    /* acc[oc 16, n 64 oh 10 ow 10], sums over ic 6 kh 5 kw 5, f32 */
    /* tile: 20 (oh 2, ow 10) lines, read in place, by 16 (oc 16) lanes, packed by each thread */
    {
        int64_t begin, end;
        gc_share(t, 32, 1, &begin, &end);
        int64_t kept = -1; /* the panel that is packed */
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t panel_begin = 0;
            const int64_t strip_begin = unit * 10;
            const int64_t strip_end = strip_begin + 10;
            const int64_t panel_end = 1;
            const int64_t ic_from = 0;
            const int64_t ic_to = 6;
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                if (kept == 0) continue;
                kept = 0;
                const int64_t oc_from = 0;
                {
                    /* 16 lanes for each step of the depth, transposed */
                    float *restrict packed = (float *)(own + 0) + (panel - panel_begin)*2400;
                    float *restrict row = packed + 0*16;
                    const float *restrict from = w + (oc_from*150 + ic_from*25);
                    const int64_t valid = 16;
                    for (int64_t i = 0; i >= 0; i -= 16) {
                        gc_pack_across_f32x16(from + i*150, 150, (int)gc_most(gc_least(valid - i, 16), 0), (ic_to - ic_from)*25, row + 0 + i, 16);
                    }
                }
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t oc_from = 0;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t n = strip / 5;
                    const int64_t oh_from = strip % 5 * 2;
                    const int64_t ow_from = 0;
                    float sums[320] __attribute__((aligned(64)));
                    convolution__acc_tile_20x16(x + (n*1176 + oh_from*14 + ow_from), (float *)(own + 0) + (panel - panel_begin)*2400, sums, ic_from, ic_to);
                    /* The tile turned over, so that results are written in runs. */
                    float turned[512] __attribute__((aligned(64)));
                    for (int i = 0; i < 20; i += 16) {
                        for (int j = 0; j < 16; j += 16) {
                            gc_turn_f32x16(sums + i*16 + j, 16, (int)gc_least(20 - i, 16), turned + j*32 + i, 32);
                        }
                    }
                    for (int64_t oc_in = 0; oc_in < 16; oc_in++) {
                        /* The last run overlaps the one before it. */
                        for (int64_t run = 0; run < 20; run += 16) {
                            const int64_t begin = gc_least(run, 20 - 16);
                            #pragma omp simd
                            for (int64_t ow_in = begin; ow_in < begin + 16; ow_in++) {
                                const float acc = turned[oc_in*32 + ow_in];
                                const float result = acc + bias[oc_from + oc_in];
                                out[n*1600 + oc_from*100 + oc_in*100 + oh_from*10 + ow_in] = result;
                            }
                        }
                    }
                }
            }
        }
    }
}
