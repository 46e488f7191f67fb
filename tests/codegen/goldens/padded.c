#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void padded(
    gc_thread *t,
    const float *restrict x, /* f32[100, 200] */
    float *restrict y, /* f32[104, 204] */
    float *restrict z) /* f32[104, 204] */
{
    int64_t begin, end;
    gc_share(t, 104, 1, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        #pragma omp simd
        for (int64_t j = 0; j < 204; j++) {
            y[i*204 + j] = i >= 2 && i < 102 && j >= 2 && j < 202 ? x[i*200 + j - 402] + x[i*200 + j - 402] : -1.0f;
            z[i*204 + j] = i >= 2 && i < 102 && j >= 2 && j < 202 ? x[i*200 + j - 402] : 0.5f;
        }
    }
}
