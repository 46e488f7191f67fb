#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void double_tanh(
    gc_error *report,
    const float *__restrict__ x, /* f32[64, 6, 28, 28] */
    float *__restrict__ y) /* f32[64, 6, 28, 28] */
{
    for (int64_t i_j_k_l = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i_j_k_l < 301056; i_j_k_l += (int64_t)gridDim.x*blockDim.x) {
        const int64_t i = i_j_k_l / 4704;
        const int64_t j = i_j_k_l / 784 % 6;
        const int64_t k = i_j_k_l / 28 % 28;
        const int64_t l = i_j_k_l % 28;
        /* net.py:7 h = x.tanh() */
        const float h = gc_tanh_f32(x[i*4704 + j*784 + k*28 + l]);
        y[i*4704 + j*784 + k*28 + l] = h * 2.0f;
    }
}
