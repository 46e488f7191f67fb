/* Building blocks of attention over long sequences.
 *
 * A tile of queries lies across: its scores are kept as scores[key][query], so that queries fill
 * vectors, maxima and sums over the keys need no lane to meet another, and keys and values are read
 * where they lie, one number for all queries. Scores are in units of log(2): exp2 does. */
#ifndef GC_ATTENTION_H
#define GC_ATTENTION_H

#include "gc_gemm.h"
#include "gc_math.h"
#include "gc_random.h"
#include "gc_reduce.h"

#if defined(__AVX512F__) || defined(__aarch64__)
#define GC_ATTENTION_ROWS 8 /* rows of two vectors of sums that fit into the registers */
#else
#define GC_ATTENTION_ROWS 4
#endif

/* c[i][j] = sum of a[i*a_row + k*a_step] * b[k][j] over k < depth, or that added to c[i][j], for
 * ROWS rows i and COUNT vectors along j. COUNT 0 is for the first `left` lanes of one vector. */
#define GC_ATTENTION_TILE(V, T, LANES, ROWS, COUNT)                                                \
    GC_FUNCTION void gc_attention_tile_##V##_##ROWS##_##COUNT(                                     \
        int64_t depth, const T *restrict a, int64_t a_row, int64_t a_step, const T *restrict b,    \
        int64_t b_row, T *restrict c, int64_t c_row, bool add, int64_t left) {                     \
        enum { VECTORS = COUNT ? COUNT : 1 };                                                      \
        gc_##V sum[ROWS][VECTORS];                                                                 \
        (void)left;                                                                                \
        GC_UNROLL                                                                                  \
        for (int i = 0; i < ROWS; i++) {                                                           \
            GC_UNROLL                                                                              \
            for (int j = 0; j < VECTORS; j++) {                                                    \
                const T *from = c + i * c_row + j * LANES;                                         \
                sum[i][j] = !add    ? (gc_##V){0}                                                  \
                            : COUNT ? gc_load_##V(from)                                            \
                                    : gc_load_between_##V(from, 0, left);                          \
            }                                                                                      \
        }                                                                                          \
        for (int64_t k = 0; k < depth; k++) {                                                      \
            gc_##V lane[VECTORS];                                                                  \
            GC_UNROLL                                                                              \
            for (int j = 0; j < VECTORS; j++) {                                                    \
                const T *from = b + k * b_row + j * LANES;                                         \
                lane[j] = COUNT ? gc_load_##V(from) : gc_load_between_##V(from, 0, left);          \
            }                                                                                      \
            GC_UNROLL                                                                              \
            for (int i = 0; i < ROWS; i++) {                                                       \
                const T value = a[i * a_row + k * a_step];                                         \
                GC_UNROLL                                                                          \
                for (int j = 0; j < VECTORS; j++) sum[i][j] += value * lane[j];                    \
            }                                                                                      \
        }                                                                                          \
        GC_UNROLL                                                                                  \
        for (int i = 0; i < ROWS; i++) {                                                           \
            GC_UNROLL                                                                              \
            for (int j = 0; j < VECTORS; j++) {                                                    \
                T *to = c + i * c_row + j * LANES;                                                 \
                if (COUNT) {                                                                       \
                    gc_store_##V(to, sum[i][j]);                                                   \
                } else {                                                                           \
                    T lanes[LANES];                                                                \
                    gc_store_##V(lanes, sum[i][j]);                                                \
                    for (int64_t lane = 0; lane < left; lane++) to[lane] = lanes[lane];            \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#define GC_ATTENTION_ROWS_OF(V, ROWS, COUNT)                                                       \
    gc_attention_tile_##V##_##ROWS##_##COUNT(depth, a + i * a_row, a_row, a_step, b + j, b_row,    \
                                             c + i * c_row + j, c_row, add, columns - j)

/* All rows of COUNT vectors from column j on. */
#define GC_ATTENTION_STRIP(V, COUNT)                                                               \
    do {                                                                                           \
        int64_t i = 0;                                                                             \
        for (; GC_ATTENTION_ROWS == 8 && i + 8 <= rows; i += 8) GC_ATTENTION_ROWS_OF(V, 8, COUNT); \
        for (; i + 4 <= rows; i += 4) GC_ATTENTION_ROWS_OF(V, 4, COUNT);                           \
        for (; i < rows; i++) GC_ATTENTION_ROWS_OF(V, 1, COUNT);                                   \
    } while (0)

#define GC_DEFINE_ATTENTION(V, T, S, LANES)                                                        \
    GC_ATTENTION_TILE(V, T, LANES, 8, 2)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 4, 2)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 1, 2)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 8, 1)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 4, 1)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 1, 1)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 8, 0)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 4, 0)                                                           \
    GC_ATTENTION_TILE(V, T, LANES, 1, 0)                                                           \
    /* The product of matrices: (rows, depth) in any order by (depth, columns) in rows. */         \
    GC_FUNCTION void gc_attention_product_##V(                                                     \
        int64_t rows, int64_t columns, int64_t depth, const T *restrict a, int64_t a_row,          \
        int64_t a_step, const T *restrict b, int64_t b_row, T *restrict c, int64_t c_row,          \
        bool add) {                                                                                \
        int64_t j = 0;                                                                             \
        for (; j + 2 * LANES <= columns; j += 2 * LANES) GC_ATTENTION_STRIP(V, 2);                 \
        for (; j + LANES <= columns; j += LANES) GC_ATTENTION_STRIP(V, 1);                         \
        if (j < columns) GC_ATTENTION_STRIP(V, 0);                                                 \
    }                                                                                              \
    /* to[column][row] = from[row][column] * scale for `count` rows; zeros up to `tile` rows. */   \
    GC_FUNCTION void gc_attention_turn_##V(const T *restrict from, int64_t count, int64_t columns, \
                                           T scale, T *restrict to, int64_t tile) {                \
        for (int64_t row = 0; row < tile; row += LANES) {                                          \
            const int64_t rows = gc_most(gc_least(count - row, LANES), 0);                         \
            gc_pack_across_##V(from + row * columns, columns, (int)rows, columns, to + row, tile); \
        }                                                                                          \
        for (int64_t i = 0; i < columns * tile; i++) to[i] *= scale;                               \
    }                                                                                              \
    /* One block of keys more: scores become weights relative to the largest score so far, and     \
     * what was summed before is brought to the same. */                                           \
    GC_FUNCTION void gc_attention_join_##V(T *restrict scores, int64_t keys, int64_t lanes,        \
                                           int64_t tile, T *restrict most, T *restrict total,      \
                                           T *restrict fall, T *restrict sums, int64_t depth) {    \
        _Pragma("omp simd")                                                                        \
        for (int64_t lane = 0; lane < lanes; lane++) fall[lane] = most[lane];                      \
        for (int64_t key = 0; key < keys; key++) {                                                 \
            _Pragma("omp simd")                                                                    \
            for (int64_t lane = 0; lane < lanes; lane++) {                                         \
                const T score = scores[key * tile + lane];                                         \
                most[lane] = score > most[lane] ? score : most[lane];                              \
            }                                                                                      \
        }                                                                                          \
        bool same = true;                                                                          \
        for (int64_t lane = 0; lane < lanes; lane++) {                                             \
            /* Before the first key that may be attended to there is nothing to bring along. */    \
            const T base = most[lane] == -GC_INFINITY ? 0 : most[lane];                            \
            same &= fall[lane] == most[lane];                                                      \
            fall[lane] = gc_exp2_##S(fall[lane] - base);                                           \
        }                                                                                          \
        if (!same) {                                                                               \
            for (int64_t lane = 0; lane < lanes; lane++) total[lane] *= fall[lane];                \
            for (int64_t i = 0; i < depth; i++) {                                                  \
                _Pragma("omp simd")                                                                \
                for (int64_t lane = 0; lane < lanes; lane++) sums[i * tile + lane] *= fall[lane];  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("omp simd")                                                                        \
        for (int64_t lane = 0; lane < lanes; lane++) {                                             \
            fall[lane] = most[lane] == -GC_INFINITY ? 0 : most[lane];                              \
        }                                                                                          \
        for (int64_t key = 0; key < keys; key++) {                                                 \
            _Pragma("omp simd")                                                                    \
            for (int64_t lane = 0; lane < lanes; lane++) {                                         \
                const T weight = gc_exp2_##S(scores[key * tile + lane] - fall[lane]);              \
                scores[key * tile + lane] = weight;                                                \
                total[lane] += weight;                                                             \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    /* Backward: scores become weights, and flow, which holds the cotangents of the weights, those \
     * of the scores. */                                                                           \
    GC_FUNCTION void gc_attention_flow_##V(T *restrict scores, T *restrict flow, int64_t keys,     \
                                           int64_t lanes, int64_t tile, const T *restrict lse,     \
                                           const T *restrict delta) {                              \
        for (int64_t key = 0; key < keys; key++) {                                                 \
            _Pragma("omp simd")                                                                    \
            for (int64_t lane = 0; lane < lanes; lane++) {                                         \
                const int64_t at = key * tile + lane;                                              \
                const T weight = gc_exp2_##S(scores[at] - lse[lane]);                              \
                scores[at] = weight;                                                               \
                flow[at] = weight * (flow[at] - delta[lane]);                                      \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    /* Query number `first` + lane may attend to the keys up to its own number. */                 \
    GC_FUNCTION void gc_attention_causal_##V(T *restrict scores, int64_t keys, int64_t lanes,      \
                                             int64_t tile, int64_t key, int64_t first) {           \
        for (int64_t i = gc_most(first + 1 - key, 0); i < keys; i++) {                             \
            const int64_t hidden = gc_least(key + i - first, lanes);                               \
            for (int64_t lane = 0; lane < hidden; lane++) scores[i * tile + lane] = -GC_INFINITY;  \
        }                                                                                          \
    }

/* What dropout multiplies weights by: the draw of `random` for all scores, from element `origin` (of
 * the first query and key) on, where the next query is `length` elements away. */
#define GC_ATTENTION_KEPT(T, S)                                                                    \
    GC_FUNCTION void gc_attention_kept_##S(const int64_t *state, T dropout, T factor,              \
                                           gc_u64 origin, int64_t length, int64_t keys,            \
                                           int64_t lanes, int64_t tile, T *restrict kept) {        \
        const gc_u64 seed = (gc_u64)state[0], stream = (gc_u64)state[1];                           \
        const int four = sizeof(T) == 4 && length % 4 == 0 && origin % 4 == 0;                     \
        for (int64_t key = 0; four && key < keys; key += 4) {                                      \
            _Pragma("omp simd")                                                                    \
            for (int64_t lane = 0; lane < lanes; lane++) {                                         \
                float drawn[4]; /* also beyond the last key, where there is room */                \
                const gc_u64 index = origin + (gc_u64)(lane * length + key);                       \
                gc_uniform4_f32(seed, stream, index / 4, drawn);                                   \
                kept[key * tile + lane] = drawn[0] >= dropout ? factor : 0;                        \
                kept[(key + 1) * tile + lane] = drawn[1] >= dropout ? factor : 0;                  \
                kept[(key + 2) * tile + lane] = drawn[2] >= dropout ? factor : 0;                  \
                kept[(key + 3) * tile + lane] = drawn[3] >= dropout ? factor : 0;                  \
            }                                                                                      \
        }                                                                                          \
        for (int64_t key = 0; !four && key < keys; key++) {                                        \
            _Pragma("omp simd")                                                                    \
            for (int64_t lane = 0; lane < lanes; lane++) {                                         \
                const gc_u64 index = origin + (gc_u64)(lane * length + key);                       \
                const T drawn = gc_uniform_##S(seed, stream, index);                               \
                kept[key * tile + lane] = drawn >= dropout ? factor : 0;                           \
            }                                                                                      \
        }                                                                                          \
    }

GC_ATTENTION_KEPT(float, f32)
GC_ATTENTION_KEPT(double, f64)

GC_DEFINE_ATTENTION(f32x4, float, f32, 4)
GC_DEFINE_ATTENTION(f32x8, float, f32, 8)
GC_DEFINE_ATTENTION(f32x16, float, f32, 16)
GC_DEFINE_ATTENTION(f64x2, double, f64, 2)
GC_DEFINE_ATTENTION(f64x4, double, f64, 4)
GC_DEFINE_ATTENTION(f64x8, double, f64, 8)

#endif
