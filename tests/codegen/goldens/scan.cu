#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void scan(
    gc_error *report,
    const float *__restrict__ x, /* f32[256, 1000] */
    float *__restrict__ y) /* f32[256, 1000] */
{
    __shared__ double items[1024];
    for (int64_t row = blockIdx.x; row < 256; row += gridDim.x) {
        double before = 0;
        for (int64_t base = 0; base < 1000; base += blockDim.x) {
            const int64_t step = base + threadIdx.x;
            const int64_t at = (step < 1000 ? step : base);
            double own = x[row*1000 + at];
            items[threadIdx.x] = own;
            __syncthreads();
            for (unsigned apart = 1; apart < blockDim.x; apart *= 2) {
                if (threadIdx.x >= apart) {
                    const double left = items[threadIdx.x - apart];
                    own = gc_add_f64(left, own);
                }
                __syncthreads();
                items[threadIdx.x] = own;
                __syncthreads();
            }
            double last = items[blockDim.x - 1];
            if (base > 0) {
                own = gc_add_f64(before, own);
                last = gc_add_f64(before, last);
            }
            if (step < 1000) {
                y[row*1000 + at] = (float)own;
            }
            before = last;
            __syncthreads();
        }
    }
}
