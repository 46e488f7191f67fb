#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

void sum_of_x(
    gc_thread *t,
    const float *restrict x, /* f32[512, 6, 784] */
    float *restrict y, /* f32[6] */
    unsigned char *restrict shared)
{
    int64_t first, last;
    gc_share(t, 64, 1, &first, &last);
    int64_t slot = 0;
    double *const r_part = (double *)(shared + 0);
    for (int64_t j = 0; j < 6; j++) {
        for (int64_t part = first; part < last; part++) {
            int64_t begin, end;
            gc_part(part, 64, 512, 1, &begin, &end);
            double r_sum = 0.0;
            for (int64_t i = begin; i < end; i++) {
                #pragma omp simd reduction(+ : r_sum)
                for (int64_t k = 0; k < 784; k++) {
                    r_sum += x[i*4704 + j*784 + k];
                }
            }
            r_part[slot + part] = r_sum;
        }
        gc_barrier(t);
        double r_sum = 0.0;
        for (int64_t part = 0; part < 64; part++) {
            r_sum += r_part[slot + part];
        }
        const float r = (float)r_sum;
        if (t->tid == 0) {
            y[j] = r;
        }
        slot = 64 - slot;
    }
}
