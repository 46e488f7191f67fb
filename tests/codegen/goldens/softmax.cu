#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void softmax(
    gc_error *report,
    const float *__restrict__ x, /* f32[4096, 1024] */
    float *__restrict__ y) /* f32[4096, 1024] */
{
    for (int64_t i = blockIdx.x; i < 4096; i += gridDim.x) {
        float top = -GC_INFINITY;
        for (int64_t j = threadIdx.x; j < 1024; j += blockDim.x) {
            top = gc_max_f32(top, x[i*1024 + j]);
        }
        top = gc_block_max_f32(top);
        double total_sum = 0.0;
        for (int64_t j = threadIdx.x; j < 1024; j += blockDim.x) {
            total_sum += gc_exp_f32(x[i*1024 + j] - top);
        }
        total_sum = gc_block_sum_f64(total_sum);
        const float total = (float)total_sum;
        /* net.py:12 y = F.softmax(x, 1) */
        const float scale = 1.0f / total;
        for (int64_t j = threadIdx.x; j < 1024; j += blockDim.x) {
            const float p = gc_exp_f32(x[i*1024 + j] - top) * scale;
            y[i*1024 + j] = p;
        }
    }
}
