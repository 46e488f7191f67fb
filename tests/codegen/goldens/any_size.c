#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void softmax(
    gc_thread *t,
    const float *restrict x, /* f32[n, 10] */
    float *restrict y, /* f32[n, 10] */
    const int64_t n)
{
    int64_t begin, end;
    gc_share(t, n, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        float top = -GC_INFINITY;
        #pragma omp simd reduction(gc_max_f32 : top)
        for (int64_t j = 0; j < 10; j++) {
            top = gc_max_f32(top, x[i*10 + j]);
        }
        double total_sum = 0.0;
        #pragma omp simd reduction(+ : total_sum)
        for (int64_t j = 0; j < 10; j++) {
            total_sum += gc_exp_f32(x[i*10 + j] - top);
        }
        const float total = (float)total_sum;
        /* net.py:12 y = F.softmax(x, 1) */
        const float scale = 1.0f / total;
        #pragma omp simd
        for (int64_t j = 0; j < 10; j++) {
            const float p = gc_exp_f32(x[i*10 + j] - top) * scale;
            y[i*10 + j] = p;
        }
    }
}
