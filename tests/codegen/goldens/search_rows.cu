#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void search(
    gc_error *report,
    const int64_t *__restrict__ x, /* i64[64, 5] */
    const int64_t *__restrict__ z, /* i64[64, 100] */
    int64_t *__restrict__ y) /* i64[64, 5] */
{
    for (int64_t item = blockIdx.x*(int64_t)blockDim.x + threadIdx.x; item < 64*5; item += gridDim.x*(int64_t)blockDim.x) {
        const int64_t row = item / 5;
        const int64_t at = item % 5;
        const int64_t wanted = x[row*5 + at];
        int64_t low = 0, high = 100;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            const int64_t met = z[row*100 + middle];
            if (met >= wanted) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        y[row*5 + at] = low;
    }
}
