#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_gemm.h"

/* 2 lines by 10 lanes of acc[oc 6, kh 5 kw 5], sums over n 64 oh 28 ow 28, f32 */
static __attribute__((noinline)) void weight_gradient__acc_tile_2x10(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t n_from, int64_t n_to) {
    gc_f32x16 sum[2][10];
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        GC_UNROLL
        for (int j = 0; j < 10; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t n = n_from; n < n_to; n++) {
        for (int64_t oh = 0; oh < 28; oh++) {
            int64_t ow = 0;
            for (; ow + 16 <= 28; ow += 16) {
                GC_FORGET_LOADS;
                const float *line = lines + n*4704 + oh*28 + ow;
                const float *lane = lanes + n*1024 + oh*32 + ow;
                gc_f32x16 lane0 = gc_load_f32x16(lane);
                GC_KEEP(lane0);
                gc_f32x16 lane1 = gc_load_f32x16(lane + 1);
                GC_KEEP(lane1);
                gc_f32x16 lane2 = gc_load_f32x16(lane + 2);
                GC_KEEP(lane2);
                gc_f32x16 lane3 = gc_load_f32x16(lane + 3);
                GC_KEEP(lane3);
                gc_f32x16 lane4 = gc_load_f32x16(lane + 4);
                GC_KEEP(lane4);
                gc_f32x16 lane5 = gc_load_f32x16(lane + 32);
                GC_KEEP(lane5);
                gc_f32x16 lane6 = gc_load_f32x16(lane + 33);
                GC_KEEP(lane6);
                gc_f32x16 lane7 = gc_load_f32x16(lane + 34);
                GC_KEEP(lane7);
                gc_f32x16 lane8 = gc_load_f32x16(lane + 35);
                GC_KEEP(lane8);
                gc_f32x16 lane9 = gc_load_f32x16(lane + 36);
                GC_KEEP(lane9);
                GC_UNROLL
                for (int oc_in = 0; oc_in < 2; oc_in++) {
                    const gc_f32x16 value = gc_load_f32x16(line + oc_in*784);
                    sum[oc_in][0] += value * lane0;
                    sum[oc_in][1] += value * lane1;
                    sum[oc_in][2] += value * lane2;
                    sum[oc_in][3] += value * lane3;
                    sum[oc_in][4] += value * lane4;
                    sum[oc_in][5] += value * lane5;
                    sum[oc_in][6] += value * lane6;
                    sum[oc_in][7] += value * lane7;
                    sum[oc_in][8] += value * lane8;
                    sum[oc_in][9] += value * lane9;
                }
            }
            const int64_t left = 12;
            if (left > 0) {
                const float *line = lines + n*4704 + oh*28 + ow;
                const float *lane = lanes + n*1024 + oh*32 + ow;
                const gc_f32x16 lane0 = gc_load_between_f32x16(lane, 0, left);
                const gc_f32x16 lane1 = gc_load_between_f32x16(lane + 1, 0, left);
                const gc_f32x16 lane2 = gc_load_between_f32x16(lane + 2, 0, left);
                const gc_f32x16 lane3 = gc_load_between_f32x16(lane + 3, 0, left);
                const gc_f32x16 lane4 = gc_load_between_f32x16(lane + 4, 0, left);
                const gc_f32x16 lane5 = gc_load_between_f32x16(lane + 32, 0, left);
                const gc_f32x16 lane6 = gc_load_between_f32x16(lane + 33, 0, left);
                const gc_f32x16 lane7 = gc_load_between_f32x16(lane + 34, 0, left);
                const gc_f32x16 lane8 = gc_load_between_f32x16(lane + 35, 0, left);
                const gc_f32x16 lane9 = gc_load_between_f32x16(lane + 36, 0, left);
                GC_UNROLL
                for (int oc_in = 0; oc_in < 2; oc_in++) {
                    const gc_f32x16 value = gc_load_between_f32x16(line + oc_in*784, 0, left);
                    sum[oc_in][0] += value * lane0;
                    sum[oc_in][1] += value * lane1;
                    sum[oc_in][2] += value * lane2;
                    sum[oc_in][3] += value * lane3;
                    sum[oc_in][4] += value * lane4;
                    sum[oc_in][5] += value * lane5;
                    sum[oc_in][6] += value * lane6;
                    sum[oc_in][7] += value * lane7;
                    sum[oc_in][8] += value * lane8;
                    sum[oc_in][9] += value * lane9;
                }
            }
        }
    }
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        sums[i*10 + 0] = gc_sum_f32x16(sum[i][0]);
        sums[i*10 + 1] = gc_sum_f32x16(sum[i][1]);
        sums[i*10 + 2] = gc_sum_f32x16(sum[i][2]);
        sums[i*10 + 3] = gc_sum_f32x16(sum[i][3]);
        sums[i*10 + 4] = gc_sum_f32x16(sum[i][4]);
        sums[i*10 + 5] = gc_sum_f32x16(sum[i][5]);
        sums[i*10 + 6] = gc_sum_f32x16(sum[i][6]);
        sums[i*10 + 7] = gc_sum_f32x16(sum[i][7]);
        sums[i*10 + 8] = gc_sum_f32x16(sum[i][8]);
        sums[i*10 + 9] = gc_sum_f32x16(sum[i][9]);
    }
}

/* 2 lines by 5 lanes of acc[oc 6, kh 5 kw 5], sums over n 64 oh 28 ow 28, f32 */
static __attribute__((noinline)) void weight_gradient__acc_tile_2x5(const float *restrict lines, const float *restrict lanes, float *restrict sums, int64_t n_from, int64_t n_to) {
    gc_f32x16 sum[2][5];
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        GC_UNROLL
        for (int j = 0; j < 5; j++) sum[i][j] = (gc_f32x16){0};
    }
    for (int64_t n = n_from; n < n_to; n++) {
        for (int64_t oh = 0; oh < 28; oh++) {
            int64_t ow = 0;
            for (; ow + 16 <= 28; ow += 16) {
                GC_FORGET_LOADS;
                const float *line = lines + n*4704 + oh*28 + ow;
                const float *lane = lanes + n*1024 + oh*32 + ow;
                gc_f32x16 lane0 = gc_load_f32x16(lane);
                GC_KEEP(lane0);
                gc_f32x16 lane1 = gc_load_f32x16(lane + 1);
                GC_KEEP(lane1);
                gc_f32x16 lane2 = gc_load_f32x16(lane + 2);
                GC_KEEP(lane2);
                gc_f32x16 lane3 = gc_load_f32x16(lane + 3);
                GC_KEEP(lane3);
                gc_f32x16 lane4 = gc_load_f32x16(lane + 4);
                GC_KEEP(lane4);
                GC_UNROLL
                for (int oc_in = 0; oc_in < 2; oc_in++) {
                    const gc_f32x16 value = gc_load_f32x16(line + oc_in*784);
                    sum[oc_in][0] += value * lane0;
                    sum[oc_in][1] += value * lane1;
                    sum[oc_in][2] += value * lane2;
                    sum[oc_in][3] += value * lane3;
                    sum[oc_in][4] += value * lane4;
                }
            }
            const int64_t left = 12;
            if (left > 0) {
                const float *line = lines + n*4704 + oh*28 + ow;
                const float *lane = lanes + n*1024 + oh*32 + ow;
                const gc_f32x16 lane0 = gc_load_between_f32x16(lane, 0, left);
                const gc_f32x16 lane1 = gc_load_between_f32x16(lane + 1, 0, left);
                const gc_f32x16 lane2 = gc_load_between_f32x16(lane + 2, 0, left);
                const gc_f32x16 lane3 = gc_load_between_f32x16(lane + 3, 0, left);
                const gc_f32x16 lane4 = gc_load_between_f32x16(lane + 4, 0, left);
                GC_UNROLL
                for (int oc_in = 0; oc_in < 2; oc_in++) {
                    const gc_f32x16 value = gc_load_between_f32x16(line + oc_in*784, 0, left);
                    sum[oc_in][0] += value * lane0;
                    sum[oc_in][1] += value * lane1;
                    sum[oc_in][2] += value * lane2;
                    sum[oc_in][3] += value * lane3;
                    sum[oc_in][4] += value * lane4;
                }
            }
        }
    }
    GC_UNROLL
    for (int i = 0; i < 2; i++) {
        sums[i*10 + 0] = gc_sum_f32x16(sum[i][0]);
        sums[i*10 + 1] = gc_sum_f32x16(sum[i][1]);
        sums[i*10 + 2] = gc_sum_f32x16(sum[i][2]);
        sums[i*10 + 3] = gc_sum_f32x16(sum[i][3]);
        sums[i*10 + 4] = gc_sum_f32x16(sum[i][4]);
    }
}

void weight_gradient(
    gc_thread *t,
    const float *restrict g, /* f32[64, 6, 28, 28] */
    const float *restrict x, /* f32[64, 1, 32, 32] */
    float *restrict dw, /* f32[6, 1, 5, 5] */
    unsigned char *restrict shared)
{
    /* acc[oc 6, kh 5 kw 5], sums over n 64 oh 28 ow 28, f32 */
    /* tile: 2 (oc 2) lines, read in place, by 10 (kh 2, kw 5) lanes, read in place; depth in 16 parts, joined in order */
    {
        int64_t begin, end;
        gc_share(t, 16, 1, &begin, &end);
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t split = unit;
            const int64_t strip_begin = 0;
            const int64_t panel_begin = 0;
            const int64_t strip_end = 3;
            const int64_t panel_end = 3;
            const int64_t n_from = split*4;
            const int64_t n_to = gc_least((split + 1)*4, 64);
            for (int64_t panel = panel_begin; panel < panel_end; panel++) {
                const int64_t kh_from = panel * 2;
                const int64_t kw_from = 0;
                for (int64_t strip = strip_begin; strip < strip_end; strip++) {
                    const int64_t oc_from = strip * 2;
                    float *restrict sums = (float *)(shared + 0) + ((split*3 + panel)*3 + strip)*20;
                    if (kh_from + 2 <= 5) {
                        weight_gradient__acc_tile_2x10(g + (oc_from*784), x + (kh_from*32 + kw_from), sums, n_from, n_to);
                    } else {
                        weight_gradient__acc_tile_2x5(g + (oc_from*784), x + (kh_from*32 + kw_from), sums, n_from, n_to);
                    }
                }
            }
        }
    }
    gc_barrier(t);
    {
        int64_t begin, end;
        gc_share(t, 9, 1, &begin, &end);
        for (int64_t tile = begin; tile < end; tile++) {
            const int64_t panel = tile / 3;
            const int64_t strip = tile % 3;
            const int64_t kh_from = panel * 2;
            const int64_t kw_from = 0;
            const int64_t oc_from = strip * 2;
            float sums[20] __attribute__((aligned(64))) = {0};
            for (int64_t split = 0; split < 16; split++) {
                const float *restrict part = (float *)(shared + 0) + ((split*3 + panel)*3 + strip)*20;
                for (int i = 0; i < 20; i++) sums[i] += part[i];
            }
            for (int64_t oc_in = 0; oc_in < 2; oc_in++) {
                for (int64_t kw_in = 0; kw_in < gc_least(2, 5 - kh_from)*5; kw_in++) {
                    const float acc = sums[oc_in*10 + kw_in];
                    dw[oc_from*25 + oc_in*25 + kh_from*5 + kw_in] = acc;
                }
            }
        }
    }
}
