#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void argmax_of_x(
    gc_error *report,
    const float *__restrict__ x, /* f32[64, 10] */
    int64_t *__restrict__ y) /* i64[64] */
{
    for (int64_t i = blockIdx.x; i < 64; i += gridDim.x) {
        float r_best = -GC_INFINITY;
        int64_t r = 0;
        for (int64_t j = threadIdx.x; j < 10; j += blockDim.x) {
            const float r_value = x[i*10 + j];
            if (gc_above_f32(r_value, r_best)) {
                r_best = r_value;
                r = j;
            }
        }
        gc_block_argmax_f32(&r_best, &r);
        if (threadIdx.x == 0) {
            y[i] = r;
        }
    }
}
