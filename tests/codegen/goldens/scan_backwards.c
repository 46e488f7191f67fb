#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void scan(
    gc_thread *t,
    const gc_bf16 *restrict x, /* bf16[100, 500] */
    const gc_bf16 *restrict z, /* bf16[100, 500] */
    gc_bf16 *restrict y) /* bf16[100, 500] */
{
    int64_t begin, end;
    gc_share(t, 500, 1, &begin, &end);
    for (int64_t row = begin, lanes = 0; row < end; row += lanes) {
        lanes = gc_least(gc_least(end - row, 500 - row % 500), 64);
        const int64_t start = row;
        double total[64];
        #pragma omp simd
        for (int64_t lane = 0; lane < lanes; lane++) {
            total[lane] = 0;
        }
        for (int64_t at = 100 - 1; at >= 0; at--) {
            #pragma omp simd
            for (int64_t lane = 0; lane < lanes; lane++) {
                const float item = gc_bf16_to_f32(x[start + at*500 + lane]);
                total[lane] = gc_bf16_to_f32(z[start + at*500 + lane]) + (at == 100 - 1 ? 0 : item * total[lane]);
                y[start + at*500 + lane] = gc_f32_to_bf16((float)total[lane]);
            }
        }
    }
}
