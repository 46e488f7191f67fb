/* Sorting of rows: an order of their elements, stable, in linear time for long rows.
 *
 * An element becomes an item, an unsigned integer that holds its value (mapped so that integers
 * compare as the values do: NaN is the largest, the two zeros are equal) above its place in the
 * row. Items are all different, so whatever order is found for them is the stable one. Keys of 32
 * bits and their places share a gc_item; keys of 64 bits need a gc_wide_item.
 */
#ifndef GC_SORT_H
#define GC_SORT_H

#include "gc_reduce.h"

typedef gc_u64 gc_item;
typedef struct {
    gc_u64 key;
    gc_i64 place;
} gc_wide_item;

#include "../portable/gc_order.h"

#define GC_FEW_ITEMS 64 /* for which counting digits takes longer than moving items */

GC_INLINE gc_item gc_item_of(gc_u32 key, gc_i64 place) { return (gc_u64)key << 32 | (gc_u64)place; }
GC_INLINE gc_wide_item gc_wide_item_of(gc_u64 key, gc_i64 place) {
    gc_wide_item item = {key, place};
    return item;
}
GC_INLINE gc_u32 gc_key_of_item(gc_item item) { return (gc_u32)(item >> 32); }
GC_INLINE gc_u64 gc_key_of_wide_item(gc_wide_item item) { return item.key; }
GC_INLINE gc_i64 gc_place_of_item(gc_item item) { return (gc_i64)(gc_u32)item; }
GC_INLINE gc_i64 gc_place_of_wide_item(gc_wide_item item) { return item.place; }
GC_INLINE bool gc_before_item(gc_item a, gc_item b) { return a < b; }
GC_INLINE bool gc_before_wide_item(gc_wide_item a, gc_wide_item b) {
    return a.key < b.key || (a.key == b.key && a.place < b.place);
}

/* gc_sort_*(items, spare, count): the items in ascending order, in one of the two arrays. Items
 * come in the order of their places. Few are inserted one by one; more are dealt out by one byte
 * of their keys after the other, from the lowest, and bytes that all keys share are passed over.
 *
 * gc_heap_*(best, count) makes a heap of some items, the last of them in order on top;
 * gc_select_*(best, count, item) takes another item into it in place of the top, if it comes before
 * that one; gc_sort_heap_*(best, count) brings what is in it in ascending order. */
#define GC_DEFINE_SORT(ITEM, KEY, DIGITS)                                                          \
    GC_FUNCTION const gc_##ITEM *gc_sort_##ITEM(gc_##ITEM *items, gc_##ITEM *spare,                \
                                                gc_i64 count) {                                    \
        if (count <= GC_FEW_ITEMS) {                                                               \
            for (gc_i64 i = 1; i < count; i++) {                                                   \
                const gc_##ITEM item = items[i];                                                   \
                gc_i64 at = i;                                                                     \
                for (; at > 0 && gc_before_##ITEM(item, items[at - 1]); at--) {                    \
                    items[at] = items[at - 1];                                                     \
                }                                                                                  \
                items[at] = item;                                                                  \
            }                                                                                      \
            return items;                                                                          \
        }                                                                                          \
        gc_i64 counts[DIGITS][256] = {{0}};                                                        \
        for (gc_i64 i = 0; i < count; i++) {                                                       \
            const KEY key = gc_key_of_##ITEM(items[i]);                                            \
            for (int digit = 0; digit < DIGITS; digit++) {                                         \
                counts[digit][key >> 8 * digit & 255]++;                                           \
            }                                                                                      \
        }                                                                                          \
        for (int digit = 0; digit < DIGITS; digit++) {                                             \
            gc_i64 *const next = counts[digit];                                                    \
            if (next[gc_key_of_##ITEM(items[0]) >> 8 * digit & 255] == count) continue;            \
            gc_i64 total = 0;                                                                      \
            for (int value = 0; value < 256; value++) {                                            \
                const gc_i64 here = next[value];                                                   \
                next[value] = total;                                                               \
                total += here;                                                                     \
            }                                                                                      \
            for (gc_i64 i = 0; i < count; i++) {                                                   \
                spare[next[gc_key_of_##ITEM(items[i]) >> 8 * digit & 255]++] = items[i];           \
            }                                                                                      \
            gc_##ITEM *const dealt = spare;                                                        \
            spare = items;                                                                         \
            items = dealt;                                                                         \
        }                                                                                          \
        return items;                                                                              \
    }                                                                                              \
    GC_INLINE void gc_sink_##ITEM(gc_##ITEM *best, gc_i64 count, gc_i64 at, gc_##ITEM item) {      \
        for (gc_i64 below = 2 * at + 1; below < count; below = 2 * at + 1) {                       \
            if (below + 1 < count && gc_before_##ITEM(best[below], best[below + 1])) below++;      \
            if (gc_before_##ITEM(best[below], item)) break;                                        \
            best[at] = best[below];                                                                \
            at = below;                                                                            \
        }                                                                                          \
        best[at] = item;                                                                           \
    }                                                                                              \
    GC_INLINE void gc_heap_##ITEM(gc_##ITEM *best, gc_i64 count) {                                 \
        for (gc_i64 at = count / 2 - 1; at >= 0; at--) gc_sink_##ITEM(best, count, at, best[at]);  \
    }                                                                                              \
    GC_INLINE void gc_select_##ITEM(gc_##ITEM *best, gc_i64 count, gc_##ITEM item) {               \
        if (GC_UNLIKELY(gc_before_##ITEM(item, best[0]))) gc_sink_##ITEM(best, count, 0, item);    \
    }                                                                                              \
    GC_INLINE void gc_sort_heap_##ITEM(gc_##ITEM *best, gc_i64 count) {                            \
        for (gc_i64 last = count - 1; last > 0; last--) {                                          \
            const gc_##ITEM top = best[0];                                                         \
            gc_sink_##ITEM(best, last, 0, best[last]);                                             \
            best[last] = top;                                                                      \
        }                                                                                          \
    }

GC_DEFINE_SORT(item, gc_u32, 4)
GC_DEFINE_SORT(wide_item, gc_u64, 8)
#undef GC_DEFINE_SORT

#endif
