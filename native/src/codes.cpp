#include "codes.h"

#include <algorithm>
#include <array>

#include "master.h"
#include "reduce.h"

namespace panoptim {

// ---- The loops, over contiguous elements; plain names, so that a test finds each in the object code.

template <class Code>
static PANOPTIM_INLINE void dequantize(float scale, uint64_t elements, const uint8_t* __restrict codes, float* __restrict out) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) out[i] = Code::value(codes[i], scale);
}

template <class Code>
static PANOPTIM_INLINE void quantize(float scale, uint64_t elements, const float* __restrict in, uint8_t* __restrict codes) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) codes[i] = uint8_t(Code::code(in[i], scale));
}

static constexpr float DYNAMIC_SIGNED[] = {PANOPTIM_SIGNED_BOOK};
static constexpr float DYNAMIC_UNSIGNED[] = {PANOPTIM_UNSIGNED_BOOK};

// What nearest_code finds, by a look at a table: the positive numbers from 2^LEAST to 1 are cut into cells by their exponent and the
// first BITS of their fraction, so fine that each has at most one number at which the code changes. A cell's entry is the code below
// that number, times 2^16 and more, and the rest of its bits.
template <int BITS>
class Cells {
public:
    // Codes are counted from the one of zero.
    constexpr Cells(const float (&book)[256], int zero) : entries() {
        int code = 0;
        for (uint32_t cell = 0; cell < COUNT; ++cell) {
            uint32_t last = (1u << SHIFT) - 1; // no number is greater
            const int below = code;
            for (; zero + code < 255; ++code) {
                const uint32_t bits = last_below(book, zero + code);
                if (bits >> SHIFT > FIRST + cell || cell + 1 == COUNT) break;
                last = bits & ((1u << SHIFT) - 1);
            }
            entries[cell] = uint32_t(cell + 1 == COUNT ? 255 - zero : below) << SHIFT | last;
        }
    }

    // Of a negative number, that of zero.
    PANOPTIM_INLINE uint32_t code(float x) const {
        const int32_t bits = int32_t(bits_of(x));
        const int32_t cell = (bits >> SHIFT) - int32_t(FIRST);
        const uint32_t entry = entries[cell < 0 ? 0 : cell > int32_t(COUNT) - 1 ? int32_t(COUNT) - 1 : cell];
        const int32_t rest = cell < 0 ? 0 : bits & ((1 << SHIFT) - 1);
        return (entry >> SHIFT) + (rest > int32_t(entry & ((1u << SHIFT) - 1)));
    }

private:
    static constexpr int SHIFT = 23 - BITS;
    static constexpr uint32_t FIRST = (127u - 23u) << BITS;
    static constexpr uint32_t COUNT = (23u << BITS) + 1;

    uint32_t entries[COUNT];

    // The largest number that still has a code, or a lower one; of two equally near codes the even one is taken.
    static constexpr uint32_t last_below(const float (&book)[256], int code) {
        return __builtin_bit_cast(uint32_t, (book[code] + book[code + 1]) * 0.5f) - uint32_t(code & 1);
    }
};

static constexpr Cells<6> SIGNED_CELLS(DYNAMIC_SIGNED, PANOPTIM_DYNAMIC_SIGNED_ZERO);
static constexpr Cells<7> UNSIGNED_CELLS(DYNAMIC_UNSIGNED, 0);

struct DynamicSigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) {
        const float y = x / scale;
        const int32_t magnitude = int32_t(SIGNED_CELLS.code(abs(y)));
        const int32_t below = PANOPTIM_DYNAMIC_SIGNED_ZERO - (magnitude > PANOPTIM_DYNAMIC_SIGNED_ZERO ? PANOPTIM_DYNAMIC_SIGNED_ZERO : magnitude);
        return uint32_t(y < 0 ? below : PANOPTIM_DYNAMIC_SIGNED_ZERO + magnitude);
    }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return DYNAMIC_SIGNED[code] * scale; }
};

struct DynamicUnsigned {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) { return UNSIGNED_CELLS.code(x / scale); }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return DYNAMIC_UNSIGNED[code] * scale; }
};

static constexpr float DYNAMIC4_SIGNED[] = {PANOPTIM_SIGNED_BOOK4};

struct Dynamic4Signed {
    PANOPTIM_INLINE static uint32_t code(float x, float scale) { return dynamic4_code(x / scale); }
    PANOPTIM_INLINE static float value(uint32_t code, float scale) { return DYNAMIC4_SIGNED[code] * scale; }
};

#define CODE_LOOPS(name, type)                                                                                                 \
    extern "C" void panoptim_dequantize_##name(float scale, uint64_t elements, const uint8_t* codes, float* out) {             \
        dequantize<type>(scale, elements, codes, out);                                                                         \
    }                                                                                                                          \
    extern "C" void panoptim_quantize_##name(float scale, uint64_t elements, const float* in, uint8_t* codes) {                \
        quantize<type>(scale, elements, in, codes);                                                                            \
    }

CODE_LOOPS(dynamic_signed, DynamicSigned)
CODE_LOOPS(dynamic_unsigned, DynamicUnsigned)
CODE_LOOPS(companded_signed, CompandedSigned)
CODE_LOOPS(companded_unsigned, CompandedUnsigned)
CODE_LOOPS(float8_signed, Float8Signed)
CODE_LOOPS(float8_unsigned, Float8Unsigned)
CODE_LOOPS(dynamic4_signed, Dynamic4Signed)
CODE_LOOPS(linear4_unsigned, Linear4Unsigned)

// Codes of 4 bits, two in a byte, the first in its upper half, from and to bytes of their own. Inlined, gcc 12 warns of vectors that it
// takes to be longer than what they are given.
extern "C" __attribute__((noinline)) void panoptim_unpack(uint64_t bytes, const uint8_t* __restrict packed, uint8_t* __restrict codes) {
#pragma omp simd
    for (uint64_t i = 0; i < bytes; ++i) {
        codes[2 * i] = packed[i] >> 4;
        codes[2 * i + 1] = packed[i] & 15;
    }
}

extern "C" __attribute__((noinline)) void panoptim_pack(uint64_t bytes, const uint8_t* __restrict codes, uint8_t* __restrict packed) {
#pragma omp simd
    for (uint64_t i = 0; i < bytes; ++i) packed[i] = uint8_t(codes[2 * i] << 4 | codes[2 * i + 1]);
}

extern "C" uint32_t panoptim_largest(uint64_t elements, const float* x) {
    uint32_t largest = 0;
#pragma omp simd reduction(max : largest)
    for (uint64_t i = 0; i < elements; ++i) largest = std::max(largest, bits_of(abs(x[i])));
    return largest;
}

extern "C" void panoptim_round_stochastically(NoiseKey key, uint32_t index, uint64_t elements, const float* __restrict in,
                                              uint16_t* __restrict out) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) out[i] = uint16_t(to_bfloat16(in[i], noise_of(key, index + uint32_t(i))));
}

// ---- Over blocks

struct Code {
    void (*dequantize)(float scale, uint64_t elements, const uint8_t* codes, float* out);
    void (*quantize)(float scale, uint64_t elements, const float* in, uint8_t* codes);
    uint8_t zero;
};

// From PANOPTIM_DYNAMIC_SIGNED on.
static constexpr Code CODES[] = {
    {panoptim_dequantize_dynamic_signed, panoptim_quantize_dynamic_signed, PANOPTIM_DYNAMIC_SIGNED_ZERO},
    {panoptim_dequantize_dynamic_unsigned, panoptim_quantize_dynamic_unsigned, 0},
    {panoptim_dequantize_companded_signed, panoptim_quantize_companded_signed, 0},
    {panoptim_dequantize_companded_unsigned, panoptim_quantize_companded_unsigned, 0},
    {panoptim_dequantize_float8_signed, panoptim_quantize_float8_signed, 0},
    {panoptim_dequantize_float8_unsigned, panoptim_quantize_float8_unsigned, 0},
    {panoptim_dequantize_dynamic4_signed, panoptim_quantize_dynamic4_signed, PANOPTIM_DYNAMIC4_SIGNED_ZERO},
    {panoptim_dequantize_linear4_unsigned, panoptim_quantize_linear4_unsigned, 0},
};

static float scale_at(const Codes& codes, uint64_t block) {
    return codes.scale == PANOPTIM_FLOAT32 ? reinterpret_cast<const float*>(codes.scales)[block]
                                           : from_bfloat16(reinterpret_cast<const uint16_t*>(codes.scales)[block]);
}

static void set_scale(const Codes& codes, uint64_t block, float scale) {
    if (codes.scale == PANOPTIM_FLOAT32) {
        reinterpret_cast<float*>(codes.scales)[block] = scale;
    } else {
        reinterpret_cast<uint16_t*>(codes.scales)[block] = uint16_t(bfloat16_scale(scale));
    }
}

void dequantize(const Codes& from, uint64_t elements, float* to) {
    const uint64_t block = block_of(from.dtype);
    for (uint64_t done = 0; done < elements; done += block) {
        const uint64_t count = std::min<uint64_t>(block, elements - done);
        const uint8_t* codes = from.codes + done;
        uint8_t unpacked[PANOPTIM_QUANTIZED_BLOCK4];
        if (packed(from.dtype)) {
            panoptim_unpack((count + 1) / 2, from.codes + done / 2, unpacked);
            codes = unpacked;
        }
        CODES[from.dtype - PANOPTIM_DYNAMIC_SIGNED].dequantize(scale_at(from, done / block), count, codes, to + done);
    }
}

void quantize(const Codes& to, uint64_t elements, const float* from) {
    const Code& code = CODES[to.dtype - PANOPTIM_DYNAMIC_SIGNED];
    const uint64_t block = block_of(to.dtype);
    for (uint64_t done = 0; done < elements; done += block) {
        const uint64_t count = std::min<uint64_t>(block, elements - done);
        uint8_t unpacked[PANOPTIM_QUANTIZED_BLOCK4] = {};
        uint8_t* codes = packed(to.dtype) ? unpacked : to.codes + done;
        set_scale(to, done / block, scale_of(panoptim_largest(count, from + done), to.dtype));
        const float scale = scale_at(to, done / block);
        if (scale > 0) {
            code.quantize(scale, count, from + done, codes);
        } else {
            std::fill_n(codes, count, code.zero);
        }
        if (packed(to.dtype)) panoptim_pack((count + 1) / 2, unpacked, to.codes + done / 2);
    }
}

// ---- Values

void round_stochastically(uint64_t noise, uint64_t id, uint32_t column, uint64_t index, uint64_t elements, const float* from,
                          uint16_t* to) {
    for (uint64_t done = 0; done < elements;) {
        const uint32_t low = uint32_t(index + done);
        const uint64_t count = std::min<uint64_t>(elements - done, (uint64_t(1) << 32) - low);
        panoptim_round_stochastically(noise_key(noise, id, column, index + done), low, count, from + done, to + done);
        done += count;
    }
}

extern "C" void panoptim_join(uint64_t elements, const uint16_t* __restrict value, const uint16_t* __restrict remainder,
                              float* __restrict out) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) out[i] = joined(value[i], remainder[i]);
}

extern "C" void panoptim_split(uint64_t elements, const float* __restrict in, uint16_t* __restrict value,
                               uint16_t* __restrict remainder) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) {
        value[i] = uint16_t(upper_part(in[i]));
        remainder[i] = uint16_t(remainder_of(in[i]));
    }
}

extern "C" void panoptim_add(uint64_t elements, const float* __restrict compensation, float* __restrict value) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) value[i] += compensation[i];
}

extern "C" void panoptim_subtract(uint64_t elements, const float* __restrict unrounded, float* __restrict value) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) value[i] = lost(unrounded[i], value[i]);
}

void add(uint64_t elements, const float* compensation, float* value) { panoptim_add(elements, compensation, value); }

void subtract(uint64_t elements, const float* unrounded, float* value) { panoptim_subtract(elements, unrounded, value); }

void join(const uint16_t* value, const uint16_t* remainder, uint64_t elements, float* to) {
    panoptim_join(elements, value, remainder, to);
}

void split(const float* from, uint64_t elements, uint16_t* value, uint16_t* remainder) {
    panoptim_split(elements, from, value, remainder);
}

}  // namespace panoptim
