#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void search(
    gc_thread *t,
    const int64_t *restrict x, /* i64[64, 5] */
    const int64_t *restrict z, /* i64[64, 100] */
    int64_t *restrict y) /* i64[64, 5] */
{
    int64_t begin, end;
    gc_share(t, 64, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        for (int64_t at = 0; at < 5; at++) {
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
}
