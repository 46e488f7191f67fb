#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void max_pool(
    gc_error *report,
    const float *__restrict__ x, /* f32[384, 28, 28] */
    float *__restrict__ y, /* f32[384, 14, 14] */
    int64_t *__restrict__ at) /* i64[384, 14, 14] */
{
    for (int64_t n_i_j = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; n_i_j < 75264; n_i_j += (int64_t)gridDim.x*blockDim.x) {
        const int64_t n = n_i_j / 196;
        const int64_t i = n_i_j / 14 % 14;
        const int64_t j = n_i_j % 14;
        float where_best = -GC_INFINITY;
        int64_t where = i*56 + j*2;
        for (int64_t p = 0; p < 2; p++) {
            for (int64_t q = 0; q < 2; q++) {
                const float where_value = x[n*784 + i*56 + p*28 + j*2 + q];
                if (gc_above_f32(where_value, where_best)) {
                    where_best = where_value;
                    where = i*56 + p*28 + j*2 + q;
                }
            }
        }
        const float top = where_best;
        y[n*196 + i*14 + j] = top;
        at[n*196 + i*14 + j] = where;
    }
}
