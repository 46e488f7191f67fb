#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void sum_of_x(
    gc_thread *t,
    const float *restrict x, /* f32[8192, 1024] */
    float *restrict y, /* f32[1024] */
    unsigned char *restrict shared)
{
    int64_t first, last;
    gc_share(t, 16, 1, &first, &last);
    double *const r_part = (double *)(shared + 0);
    for (int64_t part = first; part < last; part++) {
        int64_t begin, end;
        gc_part(part, 16, 8192, 1, &begin, &end);
        const int64_t width = 1024;
        double r_sum_lanes[1024];
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            r_sum_lanes[lane] = 0.0;
        }
        for (int64_t i = begin; i < end; i++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < width; lane++) {
                const int64_t j = lane;
                double r_sum = r_sum_lanes[lane];
                r_sum += x[i*1024 + j];
                r_sum_lanes[lane] = r_sum;
            }
        }
        #pragma omp simd
        for (int64_t lane = 0; lane < width; lane++) {
            const int64_t j = lane;
            r_part[part*1024 + j] = r_sum_lanes[lane];
        }
    }
    gc_barrier(t);
    int64_t begin, end;
    gc_share(t, 1024, 64, &begin, &end);
    #pragma omp simd
    for (int64_t j = begin; j < end; j++) {
        double r_sum = 0.0;
        #pragma GCC unroll 16
        for (int64_t part = 0; part < 16; part++) {
            r_sum += r_part[part*1024 + j];
        }
        const float r = (float)r_sum;
        y[j] = r;
    }
}
