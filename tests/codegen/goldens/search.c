#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void search(
    gc_thread *t,
    const float *restrict x, /* f32[30000, 1] */
    const float *restrict z, /* f32[1, 100] */
    int64_t *restrict y) /* i64[30000, 1] */
{
    int64_t begin, end;
    gc_share(t, 30000, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        for (int64_t at = 0; at < 1; at++) {
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
}
