#include "gc_math.h"
#include "gc_reduce.h"

extern "C" __global__ void scan(
    gc_error *report,
    const float *__restrict__ x, /* f32[64, 30] */
    float *__restrict__ y) /* f32[64, 30] */
{
    __shared__ double items[1024];
    __shared__ double places[1024];
    for (int64_t row = blockIdx.x; row < 64; row += gridDim.x) {
        double before = 0;
        double before_place = 0;
        for (int64_t base = 0; base < 30; base += blockDim.x) {
            const int64_t step = base + threadIdx.x;
            const int64_t at = 30 - 1 - (step < 30 ? step : base);
            double own = x[row*30 + at];
            double own_place = 1;
            items[threadIdx.x] = own;
            places[threadIdx.x] = own_place;
            __syncthreads();
            for (unsigned apart = 1; apart < blockDim.x; apart *= 2) {
                if (threadIdx.x >= apart) {
                    const double left = items[threadIdx.x - apart];
                    const double left_place = places[threadIdx.x - apart];
                    {
                        const bool met = own > left;
                        const double high = met ? own : left;
                        const double low = met ? left : own;
                        const double fall = gc_exp_f64(low == high ? 0 : low - high);
                        own_place = met ? left_place * fall + own_place : left_place + own_place * fall;
                        own = high;
                    }
                }
                __syncthreads();
                items[threadIdx.x] = own;
                places[threadIdx.x] = own_place;
                __syncthreads();
            }
            double last = items[blockDim.x - 1];
            double last_place = places[blockDim.x - 1];
            if (base > 0) {
                {
                    const bool met = own > before;
                    const double high = met ? own : before;
                    const double low = met ? before : own;
                    const double fall = gc_exp_f64(low == high ? 0 : low - high);
                    own_place = met ? before_place * fall + own_place : before_place + own_place * fall;
                    own = high;
                }
                {
                    const bool met = last > before;
                    const double high = met ? last : before;
                    const double low = met ? before : last;
                    const double fall = gc_exp_f64(low == high ? 0 : low - high);
                    last_place = met ? before_place * fall + last_place : before_place + last_place * fall;
                    last = high;
                }
            }
            if (step < 30) {
                y[row*30 + at] = (float)(own + gc_log_f64(own_place));
            }
            before = last;
            before_place = last_place;
            __syncthreads();
        }
    }
}
