#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void padded(
    gc_error *report,
    const float *__restrict__ x, /* f32[100, 200] */
    float *__restrict__ y, /* f32[104, 204] */
    float *__restrict__ z) /* f32[104, 204] */
{
    for (int64_t i_j = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i_j < 21216; i_j += (int64_t)gridDim.x*blockDim.x) {
        const int64_t i = i_j / 204;
        const int64_t j = i_j % 204;
        y[i*204 + j] = i >= 2 && i < 102 && j >= 2 && j < 202 ? x[i*200 + j - 402] + x[i*200 + j - 402] : -1.0f;
        z[i*204 + j] = i >= 2 && i < 102 && j >= 2 && j < 202 ? x[i*200 + j - 402] : 0.5f;
    }
}
