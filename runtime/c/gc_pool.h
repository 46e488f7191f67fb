/* The thread pool: one for each process, shared by all its programs. */
#ifndef GC_POOL_H
#define GC_POOL_H

#include "gc_program.h"

/* The pool; its workers start with the first run that needs them. Set ->threads before use. */
GC_EXPORT gc_pool *gc_pool_open(void);

#endif
