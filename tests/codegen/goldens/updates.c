#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"

static __attribute__((noinline)) void updates__each(
    gc_thread *t,
    float *restrict v0, /* f32[count] */
    const float *restrict g0, /* f32[count] */
    float *restrict w0, /* f32[count] */
    const float *restrict lr, /* f32[] */
    const int64_t count)
{
    int64_t begin, end;
    gc_share(t, count, 64, &begin, &end);
    #pragma omp simd
    for (int64_t i = begin; i < end; i++) {
        /* sgd.py:3 v = v * 0.9 + g */
        const float velocity = (v0[i] * 0.9f) + g0[i];
        v0[i] = velocity;
        w0[i] = w0[i] - (lr[0] * velocity);
    }
}

void updates(
    gc_thread *t,
    const float *restrict lr, /* f32[] */
    float *restrict w0, /* f32[48000] */
    float *restrict v0, /* f32[48000] */
    const float *restrict g0, /* f32[48000] */
    float *restrict w1, /* f32[120] */
    float *restrict v1, /* f32[120] */
    const float *restrict g1, /* f32[120] */
    float *restrict w2, /* f32[10080] */
    float *restrict v2, /* f32[10080] */
    const float *restrict g2) /* f32[10080] */
{
    {
        updates__each(t, v0, g0, w0, lr, 48000);
    }
    {
        if (t->tid == 0 % t->nthreads) {
            #pragma omp simd
            for (int64_t i = 0; i < 120; i++) {
                /* sgd.py:3 v = v * 0.9 + g */
                const float velocity = (v1[i] * 0.9f) + g1[i];
                v1[i] = velocity;
                w1[i] = w1[i] - (lr[0] * velocity);
            }
        }
    }
    {
        updates__each(t, v2, g2, w2, lr, 10080);
    }
}
