#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void updates(
    gc_error *report,
    const float *__restrict__ lr, /* f32[] */
    float *__restrict__ w0, /* f32[48000] */
    float *__restrict__ v0, /* f32[48000] */
    const float *__restrict__ g0, /* f32[48000] */
    float *__restrict__ w1, /* f32[120] */
    float *__restrict__ v1, /* f32[120] */
    const float *__restrict__ g1, /* f32[120] */
    float *__restrict__ w2, /* f32[10080] */
    float *__restrict__ v2, /* f32[10080] */
    const float *__restrict__ g2) /* f32[10080] */
{
    {
        for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < 48000; i += (int64_t)gridDim.x*blockDim.x) {
            /* sgd.py:3 v = v * 0.9 + g */
            const float velocity = (v0[i] * 0.9f) + g0[i];
            v0[i] = velocity;
            w0[i] = w0[i] - (lr[0] * velocity);
        }
    }
    {
        for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < 120; i += (int64_t)gridDim.x*blockDim.x) {
            const float velocity = (v1[i] * 0.9f) + g1[i];
            v1[i] = velocity;
            w1[i] = w1[i] - (lr[0] * velocity);
        }
    }
    {
        for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < 10080; i += (int64_t)gridDim.x*blockDim.x) {
            const float velocity = (v2[i] * 0.9f) + g2[i];
            v2[i] = velocity;
            w2[i] = w2[i] - (lr[0] * velocity);
        }
    }
}
