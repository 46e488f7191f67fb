#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_sort.h"

void sort(
    gc_thread *t,
    const float *restrict x, /* f32[256, 1000] */
    int64_t *restrict y, /* i64[256, 1000] */
    unsigned char *restrict own)
{
    int64_t begin, end;
    gc_share(t, 256, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        gc_item *const items = (gc_item *)own;
        for (int64_t at = 0; at < 1000; at++) {
            items[at] = gc_item_of(gc_key_f32(x[row*1000 + at], false), at);
        }
        const gc_item *const sorted = gc_sort_item(items, items + 1000, 1000);
        for (int64_t at = 0; at < 1000; at++) {
            y[row*1000 + at] = gc_place_of_item(sorted[at]);
        }
    }
}
