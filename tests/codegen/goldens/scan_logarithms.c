#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void scan(
    gc_thread *t,
    const float *restrict x, /* f32[64, 30] */
    float *restrict y) /* f32[64, 30] */
{
    if (t->tid != 0) {
        return;
    }
    for (int64_t row = 0; row < 64; row++) {
        const int64_t start = row*30;
        float larger = -GC_INFINITY;
        double total = 0;
        for (int64_t at = 30 - 1; at >= 0; at--) {
            const float item = x[start + at];
            /* The sum of the exponentials so far is total * exp(larger). */
            const bool met = item > larger;
            const float high = met ? item : larger;
            const float low = met ? larger : item;
            const float fall = gc_exp_f32(low == high ? 0 : low - high);
            total = met ? total * fall + 1 : total + fall;
            larger = high;
            y[start + at] = high + gc_log_f32((float)total);
        }
    }
}
