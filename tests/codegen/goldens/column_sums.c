#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void sum_of_x(
    gc_thread *t,
    const float *restrict x, /* f32[8192, 1024] */
    float *restrict y) /* f32[1024] */
{
    int64_t begin, end;
    gc_share(t, 4, 1, &begin, &end);
    for (int64_t j_tile = begin; j_tile < end; j_tile++) {
        const int64_t width = gc_least(1024 - j_tile*256, 256);
        double r_sum_lanes[256];
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            r_sum_lanes[lane] = 0.0;
        }
        for (int64_t i = 0; i < 8192; i++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const int64_t j = j_tile*256 + lane;
                double r_sum = r_sum_lanes[lane];
                r_sum += x[i*1024 + j];
                r_sum_lanes[lane] = r_sum;
            }
        }
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            const int64_t j = j_tile*256 + lane;
            const float r = (float)r_sum_lanes[lane];
            y[j] = r;
        }
    }
}
