#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_sort.h"

extern "C" __global__ void sort(
    gc_error *report,
    const float *__restrict__ x, /* f32[256, 1000] */
    int64_t *__restrict__ y) /* i64[256, 1000] */
{
    for (int64_t row = blockIdx.x; row < 256; row += gridDim.x) {
        for (int64_t at = threadIdx.x; at < 1000; at += blockDim.x) {
            y[row*1000 + at] = at;
        }
        for (int64_t merged = 1; merged < 1000; merged *= 2) {
            for (int64_t apart = merged; apart > 0; apart /= 2) {
                __syncthreads();
                const int64_t pairs = (1000 + 2*apart - 1) / (2*apart) * apart;
                for (int64_t pair = threadIdx.x; pair < pairs; pair += blockDim.x) {
                    const int64_t start = pair / apart * (2*apart);
                    const int64_t low = start + pair % apart;
                    const int64_t mirrored = start + 2*apart - 1 - pair % apart;
                    const int64_t high = apart == merged ? mirrored : low + apart;
                    if (high < 1000) {
                        const int64_t best = y[row*1000 + low];
                        const int64_t other = y[row*1000 + high];
                        const gc_u64 best_key = gc_key_f32(x[row*1000 + best], false);
                        const gc_u64 other_key = gc_key_f32(x[row*1000 + other], false);
                        if (gc_before(other_key, other, best_key, best)) {
                            y[row*1000 + low] = other;
                            y[row*1000 + high] = best;
                        }
                    }
                }
            }
        }
    }
}
