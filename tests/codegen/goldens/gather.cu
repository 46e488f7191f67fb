#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void gather(
    gc_error *report,
    const int64_t *__restrict__ labels, /* i64[1000] */
    const float *__restrict__ table, /* f32[50, 64] */
    float *__restrict__ y) /* f32[1000, 64] */
{
    for (int64_t i_j = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i_j < 64000; i_j += (int64_t)gridDim.x*blockDim.x) {
        const int64_t i = i_j / 64;
        const int64_t j = i_j % 64;
        const int64_t row_ = gc_index_wrapped(report, 3, labels[i], 50);
        y[i*64 + j] = table[row_*64 + j];
    }
}
