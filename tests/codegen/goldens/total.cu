#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void sum_of_x(
    gc_error *report,
    const float *__restrict__ x, /* f32[512, 6, 784] */
    float *__restrict__ y) /* f32[6] */
{
    for (int64_t j = blockIdx.x; j < 6; j += gridDim.x) {
        double r_sum = 0.0;
        for (int64_t i_k = threadIdx.x; i_k < 401408; i_k += blockDim.x) {
            const int64_t i = i_k / 784;
            const int64_t k = i_k % 784;
            r_sum += x[i*4704 + j*784 + k];
        }
        r_sum = gc_block_sum_f64(r_sum);
        const float r = (float)r_sum;
        if (threadIdx.x == 0) {
            y[j] = r;
        }
    }
}
