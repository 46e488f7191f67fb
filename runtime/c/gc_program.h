/* What a generated program and its host share: one call, its threads, its errors.
 *
 * A generated program exports
 *
 *     GC_EXPORT int64_t NAME(gc_call *call) { return gc_run(call, body, threads); }
 *
 * where every thread runs `body` from start to end, takes its share of each stage by
 * (t->tid, t->nthreads), and waits for the others with gc_barrier(t) between stages. Nothing may
 * depend on how many threads there are: a busy pool gives one.
 */
#ifndef GC_PROGRAM_H
#define GC_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define GC_EXPORT __attribute__((visibility("default")))

/* The host reads the declarations between the two marks, so keep them plain C99. */
/* host begins */
typedef struct gc_error {
    int64_t state; /* 0: none, 1: an index was out of range, 2: an integer divisor was 0 */
    int64_t site;  /* which of the program's checked places */
    int64_t value; /* the index found there */
    int64_t limit; /* the size of the dimension it indexes */
} gc_error;

typedef struct gc_pool gc_pool;

typedef struct gc_call {
    uintptr_t *buffers;     /* addresses of inputs, outputs and state, in the program's order */
    const int64_t *sizes;   /* values of the program's named sizes */
    unsigned char *arena;   /* its intermediates, aligned to 64 bytes */
    gc_pool *pool;          /* NULL runs on the calling thread */
    int64_t threads;        /* threads that the arena has room for */
    int64_t *clocks;        /* nanoseconds and times of each launch, or NULL (see gc_clock.h) */
    gc_error error;
} gc_call;

typedef struct gc_thread {
    int32_t tid;      /* 0 is the calling thread */
    int32_t nthreads; /* threads that run this body */
    gc_call *call;
} gc_thread;

typedef void gc_body(gc_thread *);

struct gc_pool {
    int32_t threads; /* how many a program may use, the caller included */
    void (*run)(gc_body *body, gc_call *call, int32_t threads);
    void (*barrier)(void);
};

typedef int64_t gc_entry(gc_call *);
/* host ends */

/* Runs body on up to `threads` threads (fewer when the host or the arena allows fewer, or the pool
 * is taken);
 * returns 0, or call->error.state. With one thread the pool is not touched. */
static inline int64_t gc_run(gc_call *call, gc_body *body, int32_t threads) {
    call->error.state = 0;
    if (call->threads < threads) threads = (int32_t)call->threads;
    if (call->pool != NULL && call->pool->threads < threads) threads = call->pool->threads;
    if (call->pool == NULL || threads <= 1) {
        gc_thread alone = {0, 1, call};
        body(&alone);
    } else {
        call->pool->run(body, call, threads);
    }
    return call->error.state;
}

/* Waits until every thread of the body has come here. What was written before is seen after. */
static inline void gc_barrier(const gc_thread *t) {
    if (t->nthreads > 1) t->call->pool->barrier();
}

/* The half-open share [*begin, *end) of `count` items for thread t, whole grains at a time. */
static inline void gc_share(const gc_thread *t, int64_t count, int64_t grain, int64_t *begin,
                            int64_t *end) {
    int64_t grains = (count + grain - 1) / grain;
    int64_t low = grains * t->tid / t->nthreads * grain;
    int64_t high = grains * (t->tid + 1) / t->nthreads * grain;
    *begin = low < count ? low : count;
    *end = high < count ? high : count;
}

/* The first report of a call is kept. The program goes on, since the other threads count on this
 * one at the barriers. */
static __attribute__((noinline, cold, unused)) void gc_report(gc_error *error, int64_t state,
                                                              int64_t site, int64_t value,
                                                              int64_t limit) {
    int64_t none = 0;
    if (__atomic_compare_exchange_n(&error->state, &none, state, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        error->site = site;
        error->value = value;
        error->limit = limit;
    }
}

/* An index outside [-limit, limit), which the caller must not use: it goes on with a valid one. */
static inline __attribute__((unused)) void gc_report_index(gc_error *error, int64_t site,
                                                           int64_t value, int64_t limit) {
    gc_report(error, 1, site, value, limit);
}

/* An integer divisor; a 0 is reported where it matters. Dividing by it is defined and gives 0. */
#define GC_REPORTER t
static inline __attribute__((unused)) int64_t gc_divisor(const gc_thread *t, int64_t site,
                                                         int64_t value, int64_t matters) {
    if (__builtin_expect(value == 0 && matters, 0)) gc_report(&t->call->error, 2, site, 0, 0);
    return value;
}

#endif
