/* What this processor can do at most, for floor.py: multiply-adds, reading, copying.
   Every thread repeats its share of the work; nothing is shared and nobody waits. */
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE__
#include <immintrin.h>
#endif

typedef float vector __attribute__((vector_size(64)));
enum { LANES = 16, CHAINS = 12 }; /* chains of multiply-adds: enough to hide their latency */
enum { MULTIPLY_ADD, READ, COPY, COPY_LOOP, COPY_STREAMING };

typedef struct {
    int kind;
    int64_t repeat, count; /* count: multiply-adds of a vector for each chain, or floats */
    const float *from;
    float *to;
    float result;
} share;

static float multiply_add(int64_t count)
{
    vector sums[CHAINS], scale, shift;
    for (int lane = 0; lane < LANES; lane++) {
        scale[lane] = 0.999f;
        shift[lane] = 1e-3f * lane;
    }
    for (int k = 0; k < CHAINS; k++) {
        sums[k] = shift * (float)k;
    }
    for (int64_t i = 0; i < count; i++) {
        for (int k = 0; k < CHAINS; k++) {
            sums[k] = sums[k] * scale + shift;
        }
    }
    float total = 0;
    for (int k = 0; k < CHAINS; k++) {
        for (int lane = 0; lane < LANES; lane++) {
            total += sums[k][lane];
        }
    }
    return total;
}

static float read_all(const float *from, int64_t count)
{
    vector sums[8] = {{0}};
    int64_t i = 0;
    for (; i + 8 * LANES <= count; i += 8 * LANES) {
        for (int k = 0; k < 8; k++) {
            vector x;
            memcpy(&x, from + i + k * LANES, sizeof x);
            sums[k] += x;
        }
    }
    float total = 0;
    for (; i < count; i++) {
        total += from[i];
    }
    for (int k = 0; k < 8; k++) {
        total += sums[k][0];
    }
    return total;
}

static void copy_loop(float *restrict to, const float *restrict from, int64_t count)
{
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        vector x;
        memcpy(&x, from + i, sizeof x);
        memcpy(to + i, &x, sizeof x);
    }
    for (; i < count; i++) {
        to[i] = from[i];
    }
}

/* Past the caches, which then need not fetch what is overwritten. */
static void copy_streaming(float *restrict to, const float *restrict from, int64_t count)
{
#ifdef __SSE__
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
    }
    _mm_sfence();
    for (; i < count; i++) {
        to[i] = from[i];
    }
#else
    copy_loop(to, from, count);
#endif
}

static void *work(void *given)
{
    share *s = given;
    for (int64_t i = 0; i < s->repeat; i++) {
        switch (s->kind) {
        case MULTIPLY_ADD: s->result += multiply_add(s->count); break;
        case READ: s->result += read_all(s->from, s->count); break;
        case COPY: memcpy(s->to, s->from, s->count * sizeof(float)); break;
        case COPY_LOOP: copy_loop(s->to, s->from, s->count); break;
        case COPY_STREAMING: copy_streaming(s->to, s->from, s->count); break;
        }
        __asm__ volatile("" ::: "memory"); /* a repetition is not the one before */
    }
    return 0;
}

/* Runs kind on the threads' shares of count floats (multiply-adds: count vectors for each thread
   and chain), each so many times. from and to are aligned to 64 bytes. Returns a number that
   depends on all results, or a NaN when threads could not be had. */
float gc_floor(int kind, int threads, int64_t repeat, int64_t count, const float *from, float *to)
{
    share shares[256];
    pthread_t handles[256];
    int64_t step = (count / threads) & ~(int64_t)15;
    if (threads > 256) {
        return __builtin_nanf("");
    }
    for (int t = 0; t < threads; t++) {
        int64_t begin = t * step, length = t == threads - 1 ? count - begin : step;
        int64_t each = kind == MULTIPLY_ADD ? count : length;
        shares[t] = (share){kind, repeat, each, from + begin, to + begin, 0};
        if (pthread_create(&handles[t], 0, work, &shares[t])) {
            return __builtin_nanf("");
        }
    }
    float total = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(handles[t], 0);
        total += shares[t].result;
    }
    return total;
}
