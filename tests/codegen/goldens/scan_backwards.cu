#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void scan(
    gc_error *report,
    const gc_bf16 *__restrict__ x, /* bf16[100, 500] */
    const gc_bf16 *__restrict__ z, /* bf16[100, 500] */
    gc_bf16 *__restrict__ y) /* bf16[100, 500] */
{
    __shared__ double items[1024];
    __shared__ double places[1024];
    for (int64_t row = blockIdx.x; row < 500; row += gridDim.x) {
        double before = 0;
        double before_place = 0;
        for (int64_t base = 0; base < 100; base += blockDim.x) {
            const int64_t step = base + threadIdx.x;
            const int64_t at = 100 - 1 - (step < 100 ? step : base);
            double own = step == 0 ? 0 : gc_bf16_to_f32(x[row + at*500]);
            double own_place = gc_bf16_to_f32(z[row + at*500]);
            items[threadIdx.x] = own;
            places[threadIdx.x] = own_place;
            __syncthreads();
            for (unsigned apart = 1; apart < blockDim.x; apart *= 2) {
                if (threadIdx.x >= apart) {
                    const double left = items[threadIdx.x - apart];
                    const double left_place = places[threadIdx.x - apart];
                    own_place = own * left_place + own_place;
                    own = own * left;
                }
                __syncthreads();
                items[threadIdx.x] = own;
                places[threadIdx.x] = own_place;
                __syncthreads();
            }
            double last = items[blockDim.x - 1];
            double last_place = places[blockDim.x - 1];
            if (base > 0) {
                own_place = own * before_place + own_place;
                own = own * before;
                last_place = last * before_place + last_place;
                last = last * before;
            }
            if (step < 100) {
                y[row + at*500] = gc_f32_to_bf16((float)own_place);
            }
            before = last;
            before_place = last_place;
            __syncthreads();
        }
    }
}
