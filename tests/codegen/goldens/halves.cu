#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void halves(
    gc_error *report,
    const gc_bf16 *__restrict__ x, /* bf16[10000] */
    gc_bf16 *__restrict__ y, /* bf16[10000] */
    bool *__restrict__ positive) /* b1[10000] */
{
    for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < 10000; i += (int64_t)gridDim.x*blockDim.x) {
        const float scaled = gc_bf16_to_f32(x[i]) * 1.5f;
        y[i] = gc_f32_to_bf16(scaled);
        positive[i] = gc_bf16_to_f32(x[i]) > 0.0f;
    }
}
