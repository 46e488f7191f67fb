#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void scan(
    gc_thread *t,
    const float *restrict x, /* f32[8, 100, 500] */
    int64_t *restrict y) /* i64[8, 100, 500] */
{
    int64_t begin, end;
    gc_share(t, 4000, 1, &begin, &end);
    for (int64_t row = begin, lanes = 0; row < end; row += lanes) {
        lanes = gc_least(gc_least(end - row, 500 - row % 500), 64);
        const int64_t start = row / 500*50000 + row % 500;
        float best[64];
        int64_t place[64];
        #pragma omp simd
        for (int64_t lane = 0; lane < lanes; lane++) {
            best[lane] = x[start + lane];
            place[lane] = 0;
        }
        for (int64_t at = 0; at < 100; at++) {
            #pragma omp simd
            for (int64_t lane = 0; lane < lanes; lane++) {
                const float item = x[start + at*500 + lane];
                const bool met = item != item || (best[lane] == best[lane] && item >= best[lane]);
                best[lane] = met ? item : best[lane];
                place[lane] = met ? at : place[lane];
                y[start + at*500 + lane] = place[lane];
            }
        }
    }
}
