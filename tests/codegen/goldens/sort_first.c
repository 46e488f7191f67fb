#include "gc_program.h"
#include "gc_math.h"
#include "gc_reduce.h"
#include "gc_sort.h"

void sort(
    gc_thread *t,
    const int64_t *restrict x, /* i64[64, 30000] */
    int64_t *restrict y, /* i64[64, 5] */
    unsigned char *restrict own)
{
    int64_t begin, end;
    gc_share(t, 64, 1, &begin, &end);
    for (int64_t row = begin; row < end; row++) {
        gc_wide_item *const items = (gc_wide_item *)own;
        for (int64_t at = 0; at < 5; at++) {
            items[at] = gc_wide_item_of(gc_key_i64(x[row*30000 + at], false), at);
        }
        gc_heap_wide_item(items, 5);
        for (int64_t at = 5; at < 30000; at++) {
            gc_select_wide_item(items, 5, gc_wide_item_of(gc_key_i64(x[row*30000 + at], false), at));
        }
        gc_sort_heap_wide_item(items, 5);
        const gc_wide_item *const sorted = items;
        for (int64_t at = 0; at < 5; at++) {
            y[row*5 + at] = gc_place_of_wide_item(sorted[at]);
        }
    }
}
