#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void scan(
    gc_thread *t,
    const float *restrict x, /* f32[256, 1000] */
    float *restrict y) /* f32[256, 1000] */
{
    int64_t begin, end;
    gc_share(t, 256, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        const int64_t start = row*1000;
        double total = 0;
        for (int64_t at = 0; at < 1000; at++) {
            const float item = x[start + at];
            total = gc_add_f64(total, item);
            y[start + at] = (float)total;
        }
    }
}
