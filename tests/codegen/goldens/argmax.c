#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void argmax_of_x(
    gc_thread *t,
    const float *restrict x, /* f32[64, 10] */
    int64_t *restrict y) /* i64[64] */
{
    if (t->tid != 0) {
        return;
    }
    for (int64_t i = 0; i < 64; i++) {
        float r_best = -GC_INFINITY;
        int64_t r = 0;
        for (int64_t j = 0; j < 10; j++) {
            const float r_value = x[i*10 + j];
            if (gc_above_f32(r_value, r_best)) {
                r_best = r_value;
                r = j;
            }
        }
        y[i] = r;
    }
}
