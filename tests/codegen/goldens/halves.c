#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void halves(
    gc_thread *t,
    const gc_bf16 *restrict x, /* bf16[10000] */
    gc_bf16 *restrict y, /* bf16[10000] */
    bool *restrict positive) /* b1[10000] */
{
    int64_t begin, end;
    gc_share(t, 10000, 64, &begin, &end);
    #pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        const float scaled = gc_bf16_to_f32(x[i]) * 1.5f;
        y[i] = gc_f32_to_bf16(scaled);
        positive[i] = gc_bf16_to_f32(x[i]) > 0.0f;
    }
}
