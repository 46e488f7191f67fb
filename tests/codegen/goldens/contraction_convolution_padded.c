#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 14 lines by 32 lanes of acc[oc 64, n 8 oh 56 ow 56], sums over ic 64 kh 3 kw 3, f32 */
static __attribute__((noinline)) void convolution__acc_tile_14x32(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t ic_from, int64_t ic_to, bool fresh) {
    gc_f32x16 sum[14][2];
    if (!fresh) {
        GC_UNROLL
        for (int i = 0; i < 14; i++) {
            sum[i][0] = gc_load_f32x16(sums + i*32 + 0);
            sum[i][1] = gc_load_f32x16(sums + i*32 + 16);
        }
    } else {
        GC_UNROLL
        for (int i = 0; i < 14; i++) {
            GC_UNROLL
            for (int j = 0; j < 2; j++) sum[i][j] = (gc_f32x16){0};
        }
    }
    for (int64_t ic = ic_from; ic < ic_to; ic++) {
        for (int64_t kh = 0; kh < 3; kh++) {
            for (int64_t kw = 0; kw < 3; kw++) {
                GC_FORGET_LOADS;
                const float *line = lines + ic*3364 + kh*58 + kw;
                const float *lane = lanes + ic*288 + kh*96 + kw*32 - ic_from*288;
                const gc_f32x16 lane0 = gc_load_f32x16(lane);
                const gc_f32x16 lane1 = gc_load_f32x16(lane + 16);
                GC_UNROLL
                for (int ow_in = 0; ow_in < 14; ow_in++) {
                    const float value = line[ow_in];
                    sum[ow_in][0] += value * lane0;
                    sum[ow_in][1] += value * lane1;
                }
            }
        }
    }
    GC_UNROLL
    for (int i = 0; i < 14; i++) {
        gc_store_f32x16(sums + i*32 + 0, sum[i][0]);
        gc_store_f32x16(sums + i*32 + 16, sum[i][1]);
    }
}

void convolution(
    gc_thread *t,
    const float *restrict x, /* f32[8, 64, 56, 56] */
    const float *restrict w, /* f32[64, 64, 3, 3] */
    const float *restrict bias, /* f32[64] */
    float *restrict out, /* f32[8, 64, 56, 56] */
    unsigned char *restrict shared,
    unsigned char *restrict own)
{
    /* acc[oc 64, n 8 oh 56 ow 56], sums over ic 64 kh 3 kw 3, f32 */
    /* tile: 14 (ow 14) lines, read in place, by 32 (oc 32) lanes, packed once; ic in blocks of 32 */
    /* x with zeros around it: planes of 58 x 58 */
    float *const x_padded = (float *)(shared + 0);
    {
        int64_t begin, end;
        gc_share(t, 512, 1, &begin, &end);
        for (int64_t plane = begin; plane < end; plane++) {
            const int64_t n = plane / 64;
            const int64_t ic = plane % 64;
            float *restrict to = x_padded + n*215296 + ic*3364;
            const float *restrict from = x + (n*200704 + ic*3136);
            for (int64_t edge0 = 0; edge0 < 58; edge0++) {
                float *restrict row = to + edge0*58;
                if (edge0 >= 1 && edge0 < 57) {
                    for (int i = 0; i < 1; i++) row[i] = 0;
                    for (int i = 0; i < 56; i++) row[1 + i] = from[edge0*56 - 56 + i];
                    for (int i = 57; i < 58; i++) row[i] = 0;
                } else {
                    for (int i = 0; i < 58; i++) row[i] = 0;
                }
            }
        }
        gc_barrier(t);
    }
    {
        int64_t begin, end;
        gc_share(t, 2, 1, &begin, &end);
        for (int64_t packing = begin; packing < end; packing++) {
            const int64_t panel = packing;
            const int64_t oc_from = panel * 32;
            {
                /* 32 lanes for each step of the depth, transposed */
                float *restrict packed = (float *)(shared + 6889536) + packing*18432;
                float *restrict row = packed + 0*32;
                const float *restrict from = w + (oc_from*576);
                const int64_t valid = 32;
                for (int64_t i = 16; i >= 0; i -= 16) {
                    gc_pack_across_f32x16(from + i*576, 576, (int)gc_most(gc_least(valid - i, 16), 0), 64*9, row + 0 + i, 32);
                }
            }
        }
        gc_barrier(t);
    }
    {
        int64_t begin, end;
        gc_share(t, 32, 1, &begin, &end);
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t strip_begin = unit * 56;
            const int64_t panel_begin = 0;
            const int64_t strip_end = strip_begin + 56;
            const int64_t panel_end = 2;
            bool fresh = true;
            for (int64_t ic_from = 0; ic_from < 64; ic_from += 32) {
                const int64_t ic_to = ic_from + 32;
                for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                    const int64_t oc_from = panel * 32;
                    for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                        const int64_t n = strip / 224;
                        const int64_t oh = strip / 4 % 56;
                        const int64_t ow_from = strip % 4 * 14;
                        float *restrict sums = (float *)(own + 0) + ((panel - panel_begin)*56 + (strip - strip_begin))*448;
                        convolution__acc_tile_14x32(x_padded + (n*215296 + oh*58 + ow_from), (float *)(shared + 6889536) + panel*18432 + (ic_from*288), sums, ic_from, ic_to, fresh);
                    }
                }
                fresh = false;
            }
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t oc_from = panel * 32;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t n = strip / 224;
                    const int64_t oh = strip / 4 % 56;
                    const int64_t ow_from = strip % 4 * 14;
                    float *restrict sums = (float *)(own + 0) + ((panel - panel_begin)*56 + (strip - strip_begin))*448;
                    /* The tile turned over, so that results are written in runs. */
                    float turned[512] __attribute__((aligned(64)));
                    for (int i = 0; i < 14; i += 16) {
                        for (int j = 0; j < 32; j += 16) {
                            gc_turn_f32x16(sums + i*32 + j, 32, (int)gc_least(14 - i, 16), turned + j*16 + i, 16);
                        }
                    }
                    for (int64_t oc_in = 0; oc_in < 32; oc_in++) {
                        /* The last run overlaps the one before it. */
                        for (int64_t run = 0; run < 14; run += 8) {
                            const int64_t begin = gc_least(run, 14 - 8);
                            #pragma omp simd
                            for (int64_t ow_in = begin; ow_in < begin + 8; ow_in++) {
                                const float acc = turned[oc_in*16 + ow_in];
                                const float result = acc + bias[oc_from + oc_in];
                                out[n*200704 + oc_from*3136 + oc_in*3136 + oh*56 + ow_from + ow_in] = result;
                            }
                        }
                    }
                }
            }
        }
    }
}
