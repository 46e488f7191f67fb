#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void softmax(
    gc_error *report,
    const float *__restrict__ x, /* f32[64, 4096] */
    float *__restrict__ y) /* f32[64, 4096] */
{
    for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < 4096; i += (int64_t)gridDim.x*blockDim.x) {
        float top = -GC_INFINITY;
        for (int64_t j = 0; j < 64; j++) {
            top = gc_max_f32(top, x[j*4096 + i]);
        }
        double total_sum = 0.0;
        for (int64_t j = 0; j < 64; j++) {
            total_sum += gc_exp_f32(x[j*4096 + i] - top);
        }
        const float total = (float)total_sum;
        /* net.py:12 y = F.softmax(x, 1) */
        const float scale = 1.0f / total;
        for (int64_t j = 0; j < 64; j++) {
            const float p = gc_exp_f32(x[j*4096 + i] - top) * scale;
            y[j*4096 + i] = p;
        }
    }
}
