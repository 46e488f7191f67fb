#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void gather(
    gc_thread *t,
    const int64_t *restrict labels, /* i64[1000] */
    const float *restrict table, /* f32[50, 64] */
    float *restrict y) /* f32[1000, 64] */
{
    int64_t begin, end;
    gc_share(t, 1000, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int64_t row_ = gc_index_wrapped(t, 3, labels[i], 50);
        #pragma omp simd
        for (int64_t j = 0; j < 64; j++) {
            y[i*64 + j] = table[row_*64 + j];
        }
    }
}
