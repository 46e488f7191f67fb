#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void search(
    gc_error *report,
    const float *__restrict__ x, /* f32[30000, 1] */
    const float *__restrict__ z, /* f32[1, 100] */
    int64_t *__restrict__ y) /* i64[30000, 1] */
{
    for (int64_t item = blockIdx.x*(int64_t)blockDim.x + threadIdx.x; item < 30000*1; item += gridDim.x*(int64_t)blockDim.x) {
        const int64_t row = item / 1;
        const int64_t at = item % 1;
        const float wanted = x[row + at];
        int64_t low = 0, high = 100;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            const float met = z[middle];
            if (met > wanted) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        y[row + at] = low;
    }
}
