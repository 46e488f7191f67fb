#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void max_pool(
    gc_thread *t,
    const float *restrict x, /* f32[384, 28, 28] */
    float *restrict y, /* f32[384, 14, 14] */
    int64_t *restrict at) /* i64[384, 14, 14] */
{
    int64_t begin, end;
    gc_share(t, 384, 1, &begin, &end);
    for (int64_t n = begin; n < end; n++) {
        for (int64_t i = 0; i < 14; i++) {
            #pragma omp simd
            for (int64_t j = 0; j < 14; j++) {
                float where_best = -GC_INFINITY;
                int64_t where = i*56 + j*2;
                #pragma GCC unroll 2
                for (int64_t p = 0; p < 2; p++) {
                    #pragma GCC unroll 2
                    for (int64_t q = 0; q < 2; q++) {
                        const float where_value = x[n*784 + i*56 + p*28 + j*2 + q];
                        if (gc_above_lane_f32(where_value, where_best)) {
                            where_best = where_value;
                            where = i*56 + p*28 + j*2 + q;
                        }
                    }
                }
                const float top = where_best;
                y[n*196 + i*14 + j] = top;
                at[n*196 + i*14 + j] = where;
            }
        }
    }
}
