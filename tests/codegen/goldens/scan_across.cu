#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void scan(
    gc_error *report,
    const float *__restrict__ x, /* f32[8, 100, 500] */
    int64_t *__restrict__ y) /* i64[8, 100, 500] */
{
    __shared__ double items[1024];
    __shared__ int64_t places[1024];
    for (int64_t row = blockIdx.x; row < 4000; row += gridDim.x) {
        double before = 0;
        int64_t before_place = 0;
        for (int64_t base = 0; base < 100; base += blockDim.x) {
            const int64_t step = base + threadIdx.x;
            const int64_t at = (step < 100 ? step : base);
            double own = x[row / 500*50000 + row % 500 + at*500];
            int64_t own_place = at;
            items[threadIdx.x] = own;
            places[threadIdx.x] = own_place;
            __syncthreads();
            for (unsigned apart = 1; apart < blockDim.x; apart *= 2) {
                if (threadIdx.x >= apart) {
                    const double left = items[threadIdx.x - apart];
                    const int64_t left_place = places[threadIdx.x - apart];
                    {
                        const bool met = own != own || (left == left && own >= left);
                        own_place = met ? own_place : left_place;
                        own = met ? own : left;
                    }
                }
                __syncthreads();
                items[threadIdx.x] = own;
                places[threadIdx.x] = own_place;
                __syncthreads();
            }
            double last = items[blockDim.x - 1];
            int64_t last_place = places[blockDim.x - 1];
            if (base > 0) {
                {
                    const bool met = own != own || (before == before && own >= before);
                    own_place = met ? own_place : before_place;
                    own = met ? own : before;
                }
                {
                    const bool met = last != last || (before == before && last >= before);
                    last_place = met ? last_place : before_place;
                    last = met ? last : before;
                }
            }
            if (step < 100) {
                y[row / 500*50000 + row % 500 + at*500] = own_place;
            }
            before = last;
            before_place = last_place;
            __syncthreads();
        }
    }
}
