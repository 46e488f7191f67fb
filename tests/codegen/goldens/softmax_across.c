#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void softmax(
    gc_thread *t,
    const float *restrict x, /* f32[64, 4096] */
    float *restrict y) /* f32[64, 4096] */
{
    int64_t begin, end;
    gc_share(t, 16, 1, &begin, &end);
    for (int64_t i_tile = begin; i_tile < end; i_tile++) {
        const int64_t width = gc_least(4096 - i_tile*256, 256);
        float top_tile[256];
        float top_lanes[256];
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            top_lanes[lane] = -GC_INFINITY;
        }
        for (int64_t j = 0; j < 64; j++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const int64_t i = i_tile*256 + lane;
                float top = top_lanes[lane];
                top = gc_max_f32(top, x[j*4096 + i]);
                top_lanes[lane] = top;
            }
        }
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            const int64_t i = i_tile*256 + lane;
            const float top = top_lanes[lane];
            top_tile[lane] = top;
        }
        float scale_tile[256];
        double total_sum_lanes[256];
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            total_sum_lanes[lane] = 0.0;
        }
        for (int64_t j = 0; j < 64; j++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const int64_t i = i_tile*256 + lane;
                const float top = top_tile[lane];
                double total_sum = total_sum_lanes[lane];
                total_sum += gc_exp_f32(x[j*4096 + i] - top);
                total_sum_lanes[lane] = total_sum;
            }
        }
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            const int64_t i = i_tile*256 + lane;
            const float top = top_tile[lane];
            const float total = (float)total_sum_lanes[lane];
            /* net.py:12 y = F.softmax(x, 1) */
            const float scale = 1.0f / total;
            scale_tile[lane] = scale;
        }
        for (int64_t j = 0; j < 64; j++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const int64_t i = i_tile*256 + lane;
                const float top = top_tile[lane];
                const float scale = scale_tile[lane];
                const float p = gc_exp_f32(x[j*4096 + i] - top) * scale;
                y[j*4096 + i] = p;
            }
        }
    }
}
