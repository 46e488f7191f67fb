#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_sort.h"

extern "C" __global__ void sort(
    gc_error *report,
    const gc_bf16 *__restrict__ x, /* bf16[8, 100, 5] */
    int64_t *__restrict__ y) /* i64[8, 100, 5] */
{
    for (int64_t row = blockIdx.x; row < 40; row += gridDim.x) {
        for (int64_t at = threadIdx.x; at < 100; at += blockDim.x) {
            y[row / 5*500 + row % 5 + at*5] = at;
        }
        for (int64_t merged = 1; merged < 100; merged *= 2) {
            for (int64_t apart = merged; apart > 0; apart /= 2) {
                __syncthreads();
                const int64_t pairs = (100 + 2*apart - 1) / (2*apart) * apart;
                for (int64_t pair = threadIdx.x; pair < pairs; pair += blockDim.x) {
                    const int64_t start = pair / apart * (2*apart);
                    const int64_t low = start + pair % apart;
                    const int64_t mirrored = start + 2*apart - 1 - pair % apart;
                    const int64_t high = apart == merged ? mirrored : low + apart;
                    if (high < 100) {
                        const int64_t best = y[row / 5*500 + row % 5 + low*5];
                        const int64_t other = y[row / 5*500 + row % 5 + high*5];
                        const gc_u64 best_key = gc_key_f32(gc_bf16_to_f32(x[row / 5*500 + row % 5 + best*5]), true);
                        const gc_u64 other_key = gc_key_f32(gc_bf16_to_f32(x[row / 5*500 + row % 5 + other*5]), true);
                        if (gc_before(other_key, other, best_key, best)) {
                            y[row / 5*500 + row % 5 + low*5] = other;
                            y[row / 5*500 + row % 5 + high*5] = best;
                        }
                    }
                }
            }
        }
    }
}
