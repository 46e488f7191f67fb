/* The time that each launch takes, in programs built with GRAPHC_PROFILE=1. All threads begin a
 * launch together and end it together, so that its time is its own. A thread that takes a part of
 * a loop is alone (see program.j2): several may add at once, each the time of its own launches. */
#ifndef GC_CLOCK_H
#define GC_CLOCK_H

#include <time.h>

#include "gc_program.h"

static inline int64_t gc_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void gc_clock_add(const gc_thread *t, int64_t at, int64_t value) {
    __atomic_fetch_add(&t->call->clocks[at], value, __ATOMIC_RELAXED);
}

static inline void gc_tick(const gc_thread *t, int64_t launch) {
    gc_barrier(t);
    if (t->tid == 0) gc_clock_add(t, 2 * launch, -gc_nanoseconds());
}

static inline void gc_tock(const gc_thread *t, int64_t launch) {
    gc_barrier(t);
    if (t->tid == 0) {
        gc_clock_add(t, 2 * launch, gc_nanoseconds());
        gc_clock_add(t, 2 * launch + 1, 1);
    }
}

#endif
