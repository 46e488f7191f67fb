/* Sorting of generated CUDA: the keys of c/gc_sort.h. The kernels compare keys and then places. */
#ifndef GC_SORT_H
#define GC_SORT_H

#include "gc_math.h"
#include "../portable/gc_order.h"

/* Whether the element at place a comes before the one at place b. */
GC_INLINE bool gc_before(gc_u64 key_a, gc_i64 a, gc_u64 key_b, gc_i64 b) {
    return key_a < key_b || (key_a == key_b && a < b);
}

#endif
