#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void sum_of_x(
    gc_error *report,
    const float *__restrict__ x, /* f32[8192, 1024] */
    float *__restrict__ y) /* f32[1024] */
{
    for (int64_t j = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; j < 1024; j += (int64_t)gridDim.x*blockDim.x) {
        double r_sum = 0.0;
        for (int64_t i = 0; i < 8192; i++) {
            r_sum += x[i*1024 + j];
        }
        const float r = (float)r_sum;
        y[j] = r;
    }
}
