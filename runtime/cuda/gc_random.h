/* Random numbers; the formulas stand in portable/gc_philox.h, the same text for both targets. */
#ifndef GC_RANDOM_H
#define GC_RANDOM_H

#include "gc_math.h"

#include "../portable/gc_philox.h"

#endif
