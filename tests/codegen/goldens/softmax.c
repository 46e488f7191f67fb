#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void softmax(
    gc_thread *t,
    const float *restrict x, /* f32[4096, 1024] */
    float *restrict y) /* f32[4096, 1024] */
{
    int64_t begin, end;
    gc_share(t, 4096, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        float exp_row[1024];
        int32_t top_key = gc_order_f32(-GC_INFINITY);
        #pragma omp simd reduction(max : top_key)
        for (int64_t j = 0; j < 1024; j++) {
            top_key = gc_max_i32(top_key, gc_order_f32(x[i*1024 + j]));
        }
        const float top = gc_ordered_f32(top_key);
        /* the next row comes while this one is computed */
        gc_fetch(&x[i*1024 + 1024], 1024*sizeof(*x));
        double total_sum = 0.0;
        #pragma omp simd reduction(+ : total_sum)
        for (int64_t j = 0; j < 1024; j++) {
            const float exp = gc_exp_f32(x[i*1024 + j] - top);
            exp_row[j] = exp;
            total_sum += exp;
        }
        const float total = (float)total_sum;
        /* net.py:12 y = F.softmax(x, 1) */
        const float scale = 1.0f / total;
        #pragma omp simd
        for (int64_t j = 0; j < 1024; j++) {
            const float exp = exp_row[j];
            const float p = exp * scale;
            y[i*1024 + j] = p;
        }
    }
}
