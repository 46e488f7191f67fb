/* Counter-based random numbers, for C and for CUDA: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Element `index` of the draw `stream` under `seed` (three 64-bit numbers) is a function of these
 * three alone; no state is kept. All targets agree on it:
 *
 *   words(block)   = philox(counter = {block low, block high, stream low, stream high},
 *                           key = {seed low, seed high})              four 32-bit words w0..w3
 *   u32(index)     = w[index mod 4] of block index / 4
 *   u64(index)     = w[j] + 2^32 w[j + 1], j = 2 (index mod 2), of block index / 2
 *   uniform_f32    = (u32 >> 8) 2^-24                                 in [0, 1), exact
 *   uniform_f64    = (u64 >> 11) 2^-53                                in [0, 1), exact
 *   randint        = low + u64 mod (high - low)                       in [low, high), wrapping
 *   normal_f32     : elements 2j and 2j + 1 are r cos(t) and r sin(t) with a = u32(2j),
 *                    b = u32(2j + 1), r = sqrt(-2 log(u)), u = float32(a) 2^-32 + 2^-33 (both
 *                    steps in float32), t = 2 pi (b >> 8) 2^-24
 *   normal_f64     : elements 2j and 2j + 1 likewise with a = u64(2j), b = u64(2j + 1),
 *                    u = ((a >> 11) + 1) 2^-53, t = 2 pi (b >> 11) 2^-53
 *   exponential    = -log(u), u = 2^-25 + uniform_f32 in float32 (2^-54 + uniform_f64): positive
 *
 * Uniforms and integers are the same bits everywhere; what passes through log, sin and cos agrees
 * within the accuracy of those functions. */
#ifndef GC_PHILOX_H
#define GC_PHILOX_H

typedef struct {
    gc_u32 word[4];
} gc_words;

/* Written out ten times below: around an inner loop the loop over elements is not vectorised. */
#define GC_PHILOX_ROUND                                                                            \
    first = (gc_u64)0xd2511f53u * c0;                                                              \
    second = (gc_u64)0xcd9e8d57u * c2;                                                             \
    c0 = (gc_u32)(second >> 32) ^ c1 ^ k0;                                                         \
    c2 = (gc_u32)(first >> 32) ^ c3 ^ k1;                                                          \
    c1 = (gc_u32)second;                                                                           \
    c3 = (gc_u32)first;                                                                            \
    k0 += 0x9e3779b9u;                                                                             \
    k1 += 0xbb67ae85u;

GC_INLINE gc_words gc_philox4x32_10(const gc_u32 counter[4], const gc_u32 key[2]) {
    gc_u32 c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    gc_u32 k0 = key[0], k1 = key[1];
    gc_u64 first, second;
    GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND
    GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND GC_PHILOX_ROUND
    gc_words words;
    words.word[0] = c0;
    words.word[1] = c1;
    words.word[2] = c2;
    words.word[3] = c3;
    return words;
}
#undef GC_PHILOX_ROUND

GC_INLINE gc_words gc_random_block(gc_u64 seed, gc_u64 stream, gc_u64 block) {
    gc_u32 counter[4], key[2];
    counter[0] = (gc_u32)block;
    counter[1] = (gc_u32)(block >> 32);
    counter[2] = (gc_u32)stream;
    counter[3] = (gc_u32)(stream >> 32);
    key[0] = (gc_u32)seed;
    key[1] = (gc_u32)(seed >> 32);
    return gc_philox4x32_10(counter, key);
}

/* Selects, not indexing: a loop over elements vectorises. */
GC_INLINE gc_u32 gc_random_u32(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    gc_words words = gc_random_block(seed, stream, index >> 2);
    gc_u32 even = (index & 2u) ? words.word[2] : words.word[0];
    gc_u32 odd = (index & 2u) ? words.word[3] : words.word[1];
    return (index & 1u) ? odd : even;
}

GC_INLINE gc_u64 gc_random_u64(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    gc_words words = gc_random_block(seed, stream, index >> 1);
    gc_u32 low = (index & 1u) ? words.word[2] : words.word[0];
    gc_u32 high = (index & 1u) ? words.word[3] : words.word[1];
    return (gc_u64)high << 32 | low;
}

GC_INLINE float gc_unit_f32(gc_u32 bits) { return (float)(gc_i32)(bits >> 8) * 0x1p-24f; }
GC_INLINE double gc_unit_f64(gc_u64 bits) { return (double)(gc_i64)(bits >> 11) * 0x1p-53; }

GC_INLINE float gc_uniform_f32(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    return gc_unit_f32(gc_random_u32(seed, stream, index));
}
GC_INLINE double gc_uniform_f64(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    return gc_unit_f64(gc_random_u64(seed, stream, index));
}

/* Elements 4 block .. 4 block + 3 at the price of one. */
GC_INLINE void gc_uniform4_f32(gc_u64 seed, gc_u64 stream, gc_u64 block, float out[4]) {
    gc_words words = gc_random_block(seed, stream, block);
    out[0] = gc_unit_f32(words.word[0]);
    out[1] = gc_unit_f32(words.word[1]);
    out[2] = gc_unit_f32(words.word[2]);
    out[3] = gc_unit_f32(words.word[3]);
}

/* high > low, which the caller has checked. */
GC_INLINE gc_i64 gc_randint_i64(gc_u64 seed, gc_u64 stream, gc_u64 index, gc_i64 low, gc_i64 high) {
    gc_u64 span = (gc_u64)high - (gc_u64)low;
    return (gc_i64)((gc_u64)low + gc_random_u64(seed, stream, index) % (span == 0 ? 1 : span));
}

GC_INLINE float gc_exponential_f32(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    return -gc_log_f32(gc_uniform_f32(seed, stream, index) + 0x1p-25f);
}
GC_INLINE double gc_exponential_f64(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    return -gc_log_f64(gc_uniform_f64(seed, stream, index) + 0x1p-54);
}

/* The angle in quarter turns, 4 u, is exact, and so is its distance from a whole number. */
GC_INLINE float gc_normal_of(gc_u32 a, gc_u32 b, gc_u32 sine) {
    float radius = gc_sqrt_f32(-2.0f * gc_log_f32((float)a * 0x1p-32f + 0x1p-33f));
    float turns = 4.0f * gc_unit_f32(b);
    float quarter = gc_round_f32(turns);
    float r = (turns - quarter) * 0x1.921fb6p0f;
    return radius * gc_sin_quarters_f32(r, (gc_u32)(gc_i32)quarter + 1u - sine);
}

GC_INLINE float gc_normal_f32(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    gc_words words = gc_random_block(seed, stream, index >> 2);
    gc_u32 a = (index & 2u) ? words.word[2] : words.word[0];
    gc_u32 b = (index & 2u) ? words.word[3] : words.word[1];
    return gc_normal_of(a, b, (gc_u32)index & 1u);
}

/* Elements 4 block .. 4 block + 3 at the price of one. */
GC_INLINE void gc_normal4_f32(gc_u64 seed, gc_u64 stream, gc_u64 block, float out[4]) {
    gc_words words = gc_random_block(seed, stream, block);
    out[0] = gc_normal_of(words.word[0], words.word[1], 0);
    out[1] = gc_normal_of(words.word[0], words.word[1], 1);
    out[2] = gc_normal_of(words.word[2], words.word[3], 0);
    out[3] = gc_normal_of(words.word[2], words.word[3], 1);
}

GC_INLINE double gc_normal_f64(gc_u64 seed, gc_u64 stream, gc_u64 index) {
    gc_words words = gc_random_block(seed, stream, index >> 1);
    gc_u64 a = (gc_u64)words.word[1] << 32 | words.word[0];
    gc_u64 b = (gc_u64)words.word[3] << 32 | words.word[2];
    double radius = gc_sqrt_f64(-2.0 * gc_log_f64((double)(gc_i64)((a >> 11) + 1) * 0x1p-53));
    double angle = 6.28318530717958647693 * gc_unit_f64(b);
    return radius * ((index & 1u) ? gc_sin_f64(angle) : gc_cos_f64(angle));
}

#endif
