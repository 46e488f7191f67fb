#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_sort.h"

extern "C" __global__ void sort(
    gc_error *report,
    const int64_t *__restrict__ x, /* i64[64, 30000] */
    int64_t *__restrict__ y) /* i64[64, 5] */
{
    for (int64_t row = blockIdx.x; row < 64; row += gridDim.x) {
        for (int64_t at = threadIdx.x; at < 30000; at += blockDim.x) {
            const gc_u64 own_key = gc_key_i64(x[row*30000 + at], false);
            int64_t before = 0;
            for (int64_t other = 0; other < 30000 && before < 5; other++) {
                before += gc_before(gc_key_i64(x[row*30000 + other], false), other, own_key, at);
            }
            if (before < 5) {
                y[row*5 + before] = at;
            }
        }
    }
}
