/* Threads that run one body in step.
 *
 * Waiting is the whole art. A waiter spins for a little while, since the other side is usually a
 * microsecond away, and then sleeps, since on a busy machine the other side may need this very
 * core. Each thing waited for is a `watch`: a word on its own cache line, and a count of sleepers
 * so that nobody pays for a system call when all are awake.
 *
 * A run by a second Python thread while the pool is taken gets one thread, its own: the cores are
 * busy with the first run, and a run that never waits for another can never deadlock.
 *
 * A forked child has none of its parent's workers. It starts over with an empty pool, and makes
 * workers of its own when it first needs them.
 */
#define _GNU_SOURCE
#include "gc_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define MAX_THREADS 256
#define STACK_BYTES ((size_t)8 << 20)
#define SPIN_NS 20000 /* about what a sleep and its waking would cost */

typedef struct watch {
    _Alignas(128) _Atomic uint64_t word;
    _Atomic int32_t sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} watch;

typedef struct worker {
    watch start; /* counts the runs this worker took part in */
    int32_t tid;
} worker;

static struct {
    gc_pool face;
    _Alignas(128) atomic_flag taken;
    /* the present run; written by the caller before it starts the workers */
    gc_body *body;
    gc_call *call;
    int32_t threads;
    _Alignas(128) _Atomic int32_t arrived;
    watch phase;   /* barriers passed */
    watch running; /* workers still inside the body */
    int32_t workers;
    worker worker[MAX_THREADS];
} pool;

static inline void pause_cpu(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void reset_watch(watch *w) {
    atomic_store(&w->word, 0);
    atomic_store(&w->sleepers, 0);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
}

/* Returns the word once it differs from `seen`. */
static uint64_t wait_past(watch *w, uint64_t seen) {
    uint64_t word;
    int64_t deadline = 0;
    for (;;) {
        for (int i = 0; i < 64; i++) {
            word = atomic_load_explicit(&w->word, memory_order_acquire);
            if (word != seen) return word;
            pause_cpu();
        }
        int64_t now = now_ns();
        if (deadline == 0) deadline = now + SPIN_NS;
        if (now >= deadline) break;
        sched_yield(); /* if somebody waits for this core, it may be the one we wait for */
    }
    pthread_mutex_lock(&w->mutex);
    atomic_fetch_add(&w->sleepers, 1);
    while ((word = atomic_load(&w->word)) == seen) pthread_cond_wait(&w->changed, &w->mutex);
    atomic_fetch_sub(&w->sleepers, 1);
    pthread_mutex_unlock(&w->mutex);
    return word;
}

/* After a sequentially consistent change of the word: either the sleeper saw it, or we see the
 * sleeper; and it holds the mutex from its last look until it sleeps. */
static void wake(watch *w) {
    if (atomic_load(&w->sleepers) == 0) return;
    pthread_mutex_lock(&w->mutex);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void barrier(void) {
    uint64_t phase = atomic_load_explicit(&pool.phase.word, memory_order_acquire);
    if (atomic_fetch_add(&pool.arrived, 1) + 1 == pool.threads) {
        atomic_store_explicit(&pool.arrived, 0, memory_order_relaxed);
        atomic_store(&pool.phase.word, phase + 1);
        wake(&pool.phase);
    } else {
        wait_past(&pool.phase, phase);
    }
}

static void *work(void *argument) {
    worker *self = argument;
    uint64_t seen = 0;
    for (;;) {
        seen = wait_past(&self->start, seen);
        gc_thread t = {self->tid, pool.threads, pool.call};
        pool.body(&t);
        if (atomic_fetch_sub(&pool.running.word, 1) == 1) wake(&pool.running);
    }
    return NULL;
}

/* Makes workers until there are `wanted`; returns how many there are. */
static int32_t hire(int32_t wanted) {
    if (pool.workers >= wanted) return wanted;
    sigset_t all, before;
    pthread_attr_t attributes;
    /* Signals belong to Python's threads: an interrupt must not land on a worker. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (pool.workers < wanted) {
        worker *w = &pool.worker[pool.workers];
        pthread_t thread;
        reset_watch(&w->start);
        w->tid = pool.workers + 1;
        if (pthread_create(&thread, &attributes, work, w) != 0) break; /* do with fewer */
#ifdef __linux__
        char name[16];
        snprintf(name, sizeof name, "graphc-%d", (int)w->tid);
        pthread_setname_np(thread, name);
#endif
        pool.workers++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.workers;
}

static void run(gc_body *body, gc_call *call, int32_t threads) {
    gc_thread self = {0, 1, call};
    if (atomic_flag_test_and_set(&pool.taken)) {
        body(&self);
        return;
    }
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    threads = 1 + hire(threads - 1);
    self.nthreads = threads;
    pool.body = body;
    pool.call = call;
    pool.threads = threads;
    atomic_store(&pool.arrived, 0);
    atomic_store(&pool.running.word, (uint64_t)(threads - 1));
    for (int32_t i = 0; i < threads - 1; i++) {
        atomic_fetch_add(&pool.worker[i].start.word, 1);
        wake(&pool.worker[i].start);
    }
    body(&self);
    uint64_t left;
    while ((left = atomic_load_explicit(&pool.running.word, memory_order_acquire)) != 0)
        wait_past(&pool.running, left);
    atomic_flag_clear(&pool.taken);
}

static void empty_pool(void) {
    pool.workers = 0;
    atomic_flag_clear(&pool.taken);
    reset_watch(&pool.phase);
    reset_watch(&pool.running);
}

#ifdef __GLIBC__
/* pthread_atfork is a static part of glibc, absent where a program is linked without it. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);
#define pthread_atfork(prepare, parent, child) __register_atfork(prepare, parent, child, NULL)
#endif

static void open_pool(void) {
    pool.face.threads = 1;
    pool.face.run = run;
    pool.face.barrier = barrier;
    empty_pool();
    pthread_atfork(NULL, NULL, empty_pool);
}

gc_pool *gc_pool_open(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_pool);
    return &pool.face;
}
