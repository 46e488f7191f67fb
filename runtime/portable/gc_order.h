/* Values as unsigned integers of the same order, for C and for CUDA: gc_key_<type>(x, turned).
 *
 * NaN comes after everything else, and the two zeros are the same. With `turned` the order is the
 * other way around. Types of up to 32 bits give 32 bits, the others 64. */
#ifndef GC_ORDER_H
#define GC_ORDER_H

GC_INLINE gc_u32 gc_key_f32(float x, bool turned) {
    const gc_u32 bits = gc_bits_f32(x + 0.0f); /* -0 + 0 is 0 */
    const gc_u32 key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (x != x ? 0xffffffffu : key) ^ (turned ? 0xffffffffu : 0u);
}
GC_INLINE gc_u64 gc_key_f64(double x, bool turned) {
    const gc_u64 sign = (gc_u64)1 << 63, all = ~(gc_u64)0;
    const gc_u64 bits = gc_bits_f64(x + 0.0);
    const gc_u64 key = bits & sign ? ~bits : bits | sign;
    return (x != x ? all : key) ^ (turned ? all : 0);
}
GC_INLINE gc_u64 gc_key_i64(gc_i64 x, bool turned) {
    const gc_u64 key = (gc_u64)x ^ (gc_u64)1 << 63;
    return turned ? ~key : key;
}
GC_INLINE gc_u32 gc_key_i32(gc_i32 x, bool turned) {
    const gc_u32 key = (gc_u32)x ^ 0x80000000u;
    return turned ? ~key : key;
}
GC_INLINE gc_u32 gc_key_i16(gc_i16 x, bool turned) { return gc_key_i32(x, turned); }
GC_INLINE gc_u32 gc_key_i8(gc_i8 x, bool turned) { return gc_key_i32(x, turned); }
GC_INLINE gc_u32 gc_key_u8(gc_u8 x, bool turned) { return gc_key_i32(x, turned); }
GC_INLINE gc_u32 gc_key_b1(gc_b1 x, bool turned) { return gc_key_i32(x, turned); }

#endif
