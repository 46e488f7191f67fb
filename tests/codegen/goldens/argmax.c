#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void argmax_of_x(
    gc_thread *t,
    const float *restrict x, /* f32[64, 10] */
    int64_t *restrict y) /* i64[64] */
{
    if (t->tid != 0) {
        return;
    }
    const int64_t width = 64;
    float x_rows[640];
    for (int64_t lane = 0; lane < width; lane++) {
        const int64_t i = lane;
        #pragma GCC unroll 10
        for (int64_t j = 0; j < 10; j++) {
            x_rows[j*64 + i] = x[i*10 + j];
        }
    }
    float r_best_lanes[64];
    int64_t r_lanes[64];
    #pragma omp simd
    for (int64_t lane = 0; lane < width; lane++) {
        const int64_t i = lane;
        r_best_lanes[lane] = -GC_INFINITY;
        r_lanes[lane] = 0;
    }
    for (int64_t j = 0; j < 10; j++) {
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            const int64_t i = lane;
            float r_best = r_best_lanes[lane];
            int64_t r = r_lanes[lane];
            const float r_value = x_rows[j*64 + i];
            if (gc_above_lane_f32(r_value, r_best)) {
                r_best = r_value;
                r = j;
            }
            r_lanes[lane] = r;
            r_best_lanes[lane] = r_best;
        }
    }
    #pragma omp simd
    for (int64_t lane = 0; lane < width; lane++) {
        const int64_t i = lane;
        const float r_best = r_best_lanes[lane];
        const int64_t r = r_lanes[lane];
        y[i] = r;
    }
}
