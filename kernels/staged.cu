// The float32 step on CUDA over tensors that are not stored as the numbers that a rule works on: bfloat16 values beside what they lack
// of their master, or beside what rounding has lost, or rounded stochastically, and states in codes with a scale for each block. One
// kernel per rule and number of state slots, launched like those of step.cu and with the same argument, and for rules that take sums one
// more, that sums over the leaves. A warp has PANOPTIM_QUANTIZED_BLOCK neighbouring elements at a time. Their states lie in shared
// memory, where each thread reads only what it has written, so that the code around them is there once and not for each of them.
// The twin of native/src/stage.h and codes.cpp. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "master.h"
#include "noise.h"
#include "quantize.h"
#include "step.h"

namespace panoptim {

constexpr uint32_t BLOCK = PANOPTIM_QUANTIZED_BLOCK;
constexpr int WARPS = PANOPTIM_THREADS / WARP;
// Neighbouring elements of a thread, and how many times it has so many of a block.
constexpr int WIDTH = 4;
constexpr int PARTS = BLOCK / WARP / WIDTH;

// So many elements as they are stored: a float32 in each word, two halves, or four codes; or as numbers.
union alignas(16) Four {
    float number[WIDTH];
    uint32_t word[WIDTH];

    __device__ uint32_t half(int k) const { return word[k / 2] >> k % 2 * 16 & 0xffffu; }
    __device__ uint32_t code(int k) const { return word[0] >> k * 8 & 0xffu; }
    __device__ uint32_t code4(int k) const { return word[0] >> (k ^ 1) * 4 & 0xfu; }  // the first in a byte's upper half

    // Puts one of so many bits before the others, or takes the first away: 32, or fewer where all are in two words.
    __device__ void push(uint32_t first, int bits) {
        if (bits == 32) {
            word[3] = word[2];
            word[2] = word[1];
            word[1] = word[0];
            word[0] = first;
        } else {
            word[1] = word[1] << bits | word[0] >> (32 - bits);
            word[0] = word[0] << bits | first;
        }
    }

    __device__ uint32_t pop(int bits) {
        const uint32_t first = word[0];
        if (bits == 32) {
            word[0] = word[1];
            word[1] = word[2];
            word[2] = word[3];
        } else {
            word[0] = word[0] >> bits | word[1] << (32 - bits);
            word[1] >>= bits;
        }
        return first;
    }
};

__device__ inline bool is_code(uint32_t dtype) { return dtype >= PANOPTIM_DYNAMIC_SIGNED; }
__device__ inline bool is_packed(uint32_t dtype) { return dtype >= PANOPTIM_DYNAMIC4_SIGNED; }
__device__ inline bool is_dynamic(uint32_t dtype) { return dtype == PANOPTIM_DYNAMIC_SIGNED || dtype == PANOPTIM_DYNAMIC_UNSIGNED; }

// A column of the CUDA block's chunk, in whatever type.
struct Stored {
    uint64_t address;  // of the chunk's first element; 0 where there is no such column
    uint32_t dtype;
    uint32_t aligned;  // so many elements lie together, as far as their number in the chunk says so

    // Of what lies together: an element, or two codes of 4 bits, of which half as many are there then.
    __device__ static uint32_t size(uint32_t dtype) { return dtype == PANOPTIM_FLOAT32 ? 4 : is_code(dtype) ? 1 : 2; }
    __device__ static uint64_t place(uint32_t dtype, uint64_t element) { return is_packed(dtype) ? element / 2 : element * size(dtype); }

    __device__ static Stored of(const panoptim_record& record, int column, uint64_t start, uint64_t address) {
        const uint32_t dtype = record.dtype[column];
        const uint64_t first = address == 0 ? 0 : address + place(dtype, start);
        return {first, dtype, first % place(dtype, WIDTH) == 0};
    }

    __device__ bool is_there() const { return address != 0; }

    // From an element of the chunk on, the first of WIDTH that are there.
    __device__ Four load(uint32_t first, uint32_t count) const {
        Four four = {};
        const uint64_t at = address + place(dtype, first);
        if (aligned && count == WIDTH) {
            if (size(dtype) == 4) four = *(const Four*)at;
            else if (size(dtype) == 2) *(uint64_t*)four.word = *(const uint64_t*)at;
            else if (is_packed(dtype)) four.word[0] = *(const unsigned short*)at;
            else four.word[0] = *(const uint32_t*)at;
            return four;
        }
#pragma unroll 1
        for (uint32_t k = is_packed(dtype) ? (count + 1) / 2 : count; k > 0; k--) {
            if (size(dtype) == 4) four.push(((const uint32_t*)at)[k - 1], 32);
            else if (size(dtype) == 2) four.push(((const unsigned short*)at)[k - 1], 16);
            else four.push(((const uint8_t*)at)[k - 1], 8);
        }
        return four;
    }

    __device__ void store(uint32_t first, uint32_t count, Four four) const {
        const uint64_t at = address + place(dtype, first);
        if (aligned && count == WIDTH) {
            if (size(dtype) == 4) *(Four*)at = four;
            else if (size(dtype) == 2) *(uint64_t*)at = *(const uint64_t*)four.word;
            else if (is_packed(dtype)) *(unsigned short*)at = (unsigned short)four.word[0];
            else *(uint32_t*)at = four.word[0];
            return;
        }
        const uint32_t together = is_packed(dtype) ? (count + 1) / 2 : count;
#pragma unroll 1
        for (uint32_t k = 0; k < together; k++) {
            if (size(dtype) == 4) ((uint32_t*)at)[k] = four.pop(32);
            else if (size(dtype) == 2) ((unsigned short*)at)[k] = (unsigned short)four.pop(16);
            else ((uint8_t*)at)[k] = (uint8_t)four.pop(8);
        }
    }

    // Numbers of this type, as they are stored, in float32; and back, rounded to nearest even.
    __device__ Four widened(const Four& four) const {
        if (dtype == PANOPTIM_FLOAT32) return four;
        Four wide;
#pragma unroll
        for (int k = 0; k < WIDTH; k++) {
            wide.number[k] = dtype == PANOPTIM_BFLOAT16 ? from_bfloat16(four.half(k)) : from_float16(four.half(k));
        }
        return wide;
    }

    __device__ Four narrowed(const Four& wide) const {
        if (dtype == PANOPTIM_FLOAT32) return wide;
        return halves([&](int k) { return dtype == PANOPTIM_BFLOAT16 ? to_bfloat16(wide.number[k]) : to_float16(wide.number[k]); });
    }

    template <class Half>
    __device__ static Four halves(Half half) {
        Four four = {};
#pragma unroll
        for (int k = 0; k < WIDTH; k++) four.word[k / 2] |= half(k) << k % 2 * 16;
        return four;
    }
};

// The code books, in shared memory where a tensor has states in them.
__device__ const float BOOKS[2][256] = {{PANOPTIM_SIGNED_BOOK}, {PANOPTIM_UNSIGNED_BOOK}};
__device__ const float BOOK4[16] = {PANOPTIM_SIGNED_BOOK4};

// Dynamic codes go through the book; what all others are follows from their bits.
struct Dynamic {
    const float* book;
    __device__ uint32_t code(float x, float scale) const { return nearest_code(book, x / scale); }
    __device__ float value(uint32_t code, float scale) const { return book[code] * scale; }
};

struct Dynamic4Signed {
    __device__ static uint32_t code(float x, float scale) { return dynamic4_code(x / scale); }
    __device__ static float value(uint32_t code, float scale) { return BOOK4[code] * scale; }
};

// Calls what is given with the code that a state is in.
template <class Call>
__device__ void with_code(uint32_t dtype, const float (&books)[2][256], Call call) {
    switch (dtype) {
        case PANOPTIM_DYNAMIC_SIGNED: return call(Dynamic{books[0]});
        case PANOPTIM_DYNAMIC_UNSIGNED: return call(Dynamic{books[1]});
        case PANOPTIM_COMPANDED_SIGNED: return call(CompandedSigned());
        case PANOPTIM_COMPANDED_UNSIGNED: return call(CompandedUnsigned());
        case PANOPTIM_FLOAT8_SIGNED: return call(Float8Signed());
        case PANOPTIM_FLOAT8_UNSIGNED: return call(Float8Unsigned());
        case PANOPTIM_DYNAMIC4_SIGNED: return call(Dynamic4Signed());
        case PANOPTIM_LINEAR4_UNSIGNED: return call(Linear4Unsigned());
    }
}

// The scales of a column's blocks.
struct Scales {
    uint64_t address;  // of the chunk's first block
    uint32_t dtype;

    __device__ float at(uint32_t block) const {
        return dtype == PANOPTIM_FLOAT32 ? ((const float*)address)[block] : from_bfloat16(((const unsigned short*)address)[block]);
    }

    // The scale of a block, as it is stored.
    __device__ float rounded(float scale) const { return dtype == PANOPTIM_FLOAT32 ? scale : from_bfloat16(bfloat16_scale(scale)); }

    __device__ void set(uint32_t block, float scale) const {
        if (dtype == PANOPTIM_FLOAT32) ((float*)address)[block] = scale;
        else ((unsigned short*)address)[block] = (unsigned short)(bits_of(scale) >> 16);
    }
};

// What all threads of a CUDA block know of its chunk.
template <int SLOTS>
struct Staging {
    Stored value, gradient, master, compensation, average, copy;
    Stored state[SLOTS + 1];
    Scales scales[SLOTS + 1];
    Factors<float> factors;
    float keep, weight;
    bool remainder, stochastic, stochastic_copy;
    // Of the elements whose numbers' lower 32 bits are no less than the first one's, and of those after 2^32: two columns' keys.
    uint32_t first;
    NoiseKey key[2][2];
    float books[2][256];

    __device__ void fill(const Arguments<float>& arguments, const panoptim_record& record, const panoptim_chunk& chunk) {
        const uint32_t extras = arguments.extras;
        if (SLOTS > 0 && threadIdx.x < (uint32_t)SLOTS) {
            const uint32_t slot = threadIdx.x;
            const uint32_t scale = PANOPTIM_SCALE + slot;
            state[slot] = Stored::of(record, PANOPTIM_STATE + (int)slot, chunk.start, record.address[PANOPTIM_STATE + slot]);
            const uint64_t size = record.dtype[scale] == PANOPTIM_FLOAT32 ? 4 : 2;
            scales[slot] = {record.address[scale] + chunk.start / elements_of_block((int)slot) * size, record.dtype[scale]};
        } else if (threadIdx.x == WARP) {
            const auto column = [&](int number, bool wanted) {
                return Stored::of(record, number, chunk.start, wanted ? record.address[number] : 0);
            };
            value = column(PANOPTIM_VALUE, true);
            gradient = column(PANOPTIM_GRADIENT, true);
            master = column(PANOPTIM_MASTER, true);
            compensation = column(PANOPTIM_COMPENSATION, true);
            average = column(PANOPTIM_AVERAGE, extras & PANOPTIM_UPDATE_AVERAGE);
            copy = column(PANOPTIM_COPY, extras & PANOPTIM_WRITE_COPY);
            remainder = master.is_there() && master.dtype != PANOPTIM_FLOAT32;
            stochastic = extras & PANOPTIM_STOCHASTIC && value.dtype == PANOPTIM_BFLOAT16;
            stochastic_copy = arguments.stochastic_copy != 0;
        } else if (threadIdx.x == 2 * WARP) {
            const Row<float>& row = row_of(arguments, record);
            factors = Factors<float>::of(extras, arguments.control);
            keep = row.keep;
            weight = row.average;
            const uint64_t index = record.origin + chunk.start;
            first = (uint32_t)index;
            for (int later = 0; later < 2; later++) {
                key[0][later] = noise_key(row.noise, record.id, PANOPTIM_VALUE, index + ((uint64_t)later << 32));
                key[1][later] = noise_key(row.noise, record.id, PANOPTIM_COPY, index + ((uint64_t)later << 32));
            }
        }
        bool dynamic = false;
        for (int slot = 0; slot < SLOTS; slot++) dynamic |= is_dynamic(record.dtype[PANOPTIM_STATE + slot]);
        if (dynamic) {
            for (int i = threadIdx.x; i < 512; i += PANOPTIM_THREADS) (&books[0][0])[i] = (&BOOKS[0][0])[i];
        }
        __syncthreads();
    }

    // Values as the rule sees them, of what is stored of them and beside them.
    __device__ Four seen(const Four& own, const Four& beside) const {
        if (master.is_there() && !remainder) return beside;
        Four wide = value.widened(own);
        if (remainder) {
#pragma unroll
            for (int k = 0; k < WIDTH; k++) wide.number[k] = joined(own.half(k), beside.half(k));
        } else if (compensation.is_there()) {
            const Four more = compensation.widened(beside);
#pragma unroll
            for (int k = 0; k < WIDTH; k++) wide.number[k] += more.number[k];
        }
        return wide;
    }

    // What stands beside the value.
    __device__ const Stored& beside() const { return master.is_there() ? master : compensation; }

    // Stores values and what stands beside them, and makes of them what can be read back.
    __device__ void store_value(uint32_t at, uint32_t count, Four& x) const {
        Four own, more = x;
        if (remainder) {
            own = Stored::halves([&](int k) { return upper_part(x.number[k]) & 0xffffu; });
            more = Stored::halves([&](int k) { return remainder_of(x.number[k]); });
        } else {
            own = rounded(value, stochastic && !beside().is_there(), 0, at, x);
            const Four wide = value.widened(own);
            if (compensation.is_there()) {
#pragma unroll
                for (int k = 0; k < WIDTH; k++) more.number[k] = lost(x.number[k], wide.number[k]);
                more = compensation.narrowed(more);
            }
            x = beside().is_there() ? seen(own, more) : wide;
        }
        value.store(at, count, own);
        if (beside().is_there()) beside().store(at, count, more);
    }

    // Of a column that is bfloat16, if stochastically.
    __device__ Four rounded(const Stored& column, bool stochastically, int number, uint32_t at, const Four& x) const {
        if (!stochastically) return column.narrowed(x);
        return Stored::halves([&](int k) {
            const uint32_t index = first + at + k;
            return to_bfloat16(x.number[k], noise_of(key[number][index < first], index));
        });
    }

    __device__ void follow(uint32_t at, uint32_t count, const Four& x) const {
        if (average.is_there()) {
            Four mean = average.widened(average.load(at, count));
#pragma unroll
            for (int k = 0; k < WIDTH; k++) mean.number[k] = lerp(mean.number[k], x.number[k], weight);
            average.store(at, count, average.narrowed(mean));
        }
        if (copy.is_there()) copy.store(at, count, rounded(copy, stochastic_copy, 1, at, x));
    }

    __device__ uint32_t elements_of_block(int slot) const {
        return is_packed(state[slot].dtype) ? PANOPTIM_QUANTIZED_BLOCK4 : PANOPTIM_QUANTIZED_BLOCK;
    }

    // States as numbers, of what is stored of them from an element of the chunk on.
    __device__ Four decoded(int slot, const Four& four, uint32_t at) const {
        Four wide = {};
        const float scale = scales[slot].at(at / elements_of_block(slot));
        const bool packed = is_packed(state[slot].dtype);
        with_code(state[slot].dtype, books, [&](auto code) {
#pragma unroll
            for (int k = 0; k < WIDTH; k++) wide.number[k] = code.value(packed ? four.code4(k) : four.code(k), scale);
        });
        return wide;
    }

    // Codes of numbers, of which so many are there; 0 of the others.
    __device__ Four encoded(int slot, const Four& wide, uint32_t count, float scale) const {
        const uint32_t dtype = state[slot].dtype;
        uint32_t codes[WIDTH] = {};
        if (scale > 0) {
            with_code(dtype, books, [&](auto code) {
#pragma unroll
                for (int k = 0; k < WIDTH; k++) codes[k] = code.code(wide.number[k], scale);
            });
        } else {
            const uint32_t zero = dtype == PANOPTIM_DYNAMIC_SIGNED ? PANOPTIM_DYNAMIC_SIGNED_ZERO
                                : dtype == PANOPTIM_DYNAMIC4_SIGNED ? PANOPTIM_DYNAMIC4_SIGNED_ZERO : 0;
#pragma unroll
            for (int k = 0; k < WIDTH; k++) codes[k] = zero;
        }
        Four four = {};
#pragma unroll
        for (int k = 0; k < WIDTH; k++) {
            if (k < (int)count) four.word[0] |= codes[k] << (is_packed(dtype) ? (k ^ 1) * 4 : k * 8);
        }
        return four;
    }
};

// One of a thread's parts, in registers.
__device__ inline Four chosen(const Four (&four)[PARTS], int part) {
    static_assert(PARTS == 2, "the other one");
    Four one;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) one.word[k] = part == 0 ? four[0].word[k] : four[1].word[k];
    return one;
}

// How many of a thread's elements from one on are there.
__device__ inline uint32_t count_of(uint32_t at, uint32_t elements) {
    const uint32_t rest = at < elements ? elements - at : 0;
    return rest < WIDTH ? rest : WIDTH;
}

// The states of a warp's block, of which the same elements are this thread's throughout.
template <int SLOTS>
struct Block {
    Four (*stage)[SLOTS + 1][PARTS][WARP];  // this warp's
    uint32_t begin, elements, thread;

    __device__ uint32_t at(int part) const { return begin + (part * WARP + thread) * WIDTH; }
    __device__ uint32_t count(int part) const { return count_of(at(part), elements); }
    __device__ Four& state(int slot, int part) const { return (*stage)[slot][part][thread]; }

    template <bool QUANTIZES>
    __device__ void widen(const Staging<SLOTS>& staging) const {
#pragma unroll 1
        for (int slot = 0; slot < SLOTS; slot++) {
#pragma unroll 1
            for (int part = 0; part < PARTS; part++) {
                if (count(part) == 0) continue;  // nor need there be a scale
                Four& own = state(slot, part);
                if (QUANTIZES && is_code(staging.state[slot].dtype)) own = staging.decoded(slot, own, at(part));
                else own = staging.state[slot].widened(own);
            }
        }
    }

    // The largest absolute value in some parts, as bits.
    __device__ uint32_t largest(int slot, int first, int end) const {
        uint32_t largest = 0;
#pragma unroll 1
        for (int part = first; part < end; part++) {
            const Four own = state(slot, part);
#pragma unroll
            for (int k = 0; k < WIDTH; k++) {
                const uint32_t bits = k < (int)count(part) ? bits_of(abs(own.number[k])) : 0;
                largest = bits > largest ? bits : largest;
            }
        }
#pragma unroll
        for (int lanes = WARP / 2; lanes > 0; lanes /= 2) {
            const uint32_t other = __shfl_xor_sync(~0u, largest, lanes);
            largest = other > largest ? other : largest;
        }
        return largest;
    }

    template <bool QUANTIZES>
    __device__ void store(const Staging<SLOTS>& staging) const {
#pragma unroll 1
        for (int slot = 0; slot < SLOTS; slot++) {
            const Stored& column = staging.state[slot];
            const bool coded = QUANTIZES && is_code(column.dtype);
            const int together = is_packed(column.dtype) ? 1 : PARTS;  // with a scale
            float scale = 0;
#pragma unroll 1
            for (int part = 0; part < PARTS; part++) {
                if (coded && part % together == 0) {
                    scale = staging.scales[slot].rounded(scale_of(largest(slot, part, part + together), column.dtype));
                    const uint32_t first = begin + part * WARP * WIDTH;
                    if (thread == 0 && first < elements) staging.scales[slot].set(first / staging.elements_of_block(slot), scale);
                }
                const Four& own = state(slot, part);
                column.store(at(part), count(part), coded ? staging.encoded(slot, own, count(part), scale) : column.narrowed(own));
            }
        }
    }
};
static_assert(WARP * WIDTH == PANOPTIM_QUANTIZED_BLOCK4, "a part is a block of 4-bit codes");

template <class Rule, class Scalars, int SLOTS>
__device__ void step_staged(const Arguments<float>& arguments) {
    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    if (record.scalar_class < 0) return;
    const uint32_t extras = arguments.extras;
    if (skipped(extras, arguments.control)) {
        if (extras & PANOPTIM_ZERO_GRADIENT) zero_gradient<float>(record, chunk);
        return;
    }
    __shared__ Staging<SLOTS> staging;
    __shared__ Four stages[WARPS][SLOTS + 1][PARTS][WARP];
    staging.fill(arguments, record, chunk);
    const Scalars scalars = scalars_of<Scalars>(arguments, record, 0);

    const uint32_t warp = threadIdx.x / WARP;
#pragma unroll 1
    for (uint32_t begin = warp * BLOCK; begin < chunk.elements; begin += WARPS * BLOCK) {
        const Block<SLOTS> block{&stages[warp], begin, chunk.elements, threadIdx.x % WARP};
        // All loads are under way before the first is waited for.
        Four own[PARTS], beside[PARTS], gradient[PARTS];
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            own[part] = staging.value.load(block.at(part), block.count(part));
            if (staging.beside().is_there()) beside[part] = staging.beside().load(block.at(part), block.count(part));
            else beside[part] = {};
            gradient[part] = staging.gradient.load(block.at(part), block.count(part));
        }
#pragma unroll
        for (int slot = 0; slot < SLOTS; slot++) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
                block.state(slot, part) = staging.state[slot].load(block.at(part), block.count(part));
            }
        }
        block.template widen<Scalars::QUANTIZABLE != 0>(staging);
#pragma unroll 1
        for (int part = 0; part < PARTS; part++) {
            const uint32_t at = block.at(part), count = block.count(part);
            const Four value = staging.seen(chosen(own, part), chosen(beside, part));
            const Four g = staging.gradient.widened(chosen(gradient, part));
            float x[PANOPTIM_STATE + SLOTS][WIDTH];
#pragma unroll
            for (int k = 0; k < WIDTH; k++) {
                x[PANOPTIM_VALUE][k] = value.number[k] * staging.keep;
                x[PANOPTIM_GRADIENT][k] = staging.factors.scaled(g.number[k]);
#pragma unroll
                for (int slot = 0; slot < SLOTS; slot++) x[PANOPTIM_STATE + slot][k] = block.state(slot, part).number[k];
                if constexpr (Scalars::OVER == PANOPTIM_ROW) {
                    const uint64_t index = chunk.start - record.begin + at + k;
                    const uint64_t row = index / record.columns < record.rows ? index / record.columns : 0;
                    update<Rule>(scalars_of<Scalars>(arguments, record, row), x, k);
                } else {
                    update<Rule>(scalars, x, k);
                }
            }
            Four result;
#pragma unroll
            for (int k = 0; k < WIDTH; k++) result.number[k] = x[PANOPTIM_GRADIENT][k];
            if (extras & (PANOPTIM_ZERO_GRADIENT | PANOPTIM_WRITE_GRADIENT)) {
                staging.gradient.store(at, count, extras & PANOPTIM_ZERO_GRADIENT ? Four() : staging.gradient.narrowed(result));
            }
#pragma unroll
            for (int slot = 0; slot < SLOTS; slot++) {
#pragma unroll
                for (int k = 0; k < WIDTH; k++) {
                    const float state = x[PANOPTIM_STATE + slot][k];
                    block.state(slot, part).number[k] = extras & PANOPTIM_FLUSH_SUBNORMAL ? flushed(state) : state;
                }
            }
#pragma unroll
            for (int k = 0; k < WIDTH; k++) result.number[k] = x[PANOPTIM_VALUE][k];
            staging.store_value(at, count, result);
            staging.follow(at, count, result);
        }
        block.template store<Scalars::QUANTIZABLE != 0>(staging);
    }
}

// Each warp takes a leaf at a time, which has whole blocks.
template <class Rule, class Scalars, class Sums, int SLOTS>
__device__ void measure_staged(const Arguments<float>& arguments, uint32_t flag) {
    static_assert(LANES_OF_THREAD == WIDTH, "a thread's lanes are neighbours");
    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    if (skipped(arguments.extras, arguments.control)) return;
    const int32_t own = record.scalar_class;
    const bool idle = own < 0 || (flag & ~(arguments.rows ? arguments.rows[own].flags : arguments.row[own].flags)) != 0;
    const Leaves leaves(record);
    const uint64_t start = chunk.start - record.begin;

    __shared__ Staging<SLOTS> staging;
    if (!idle) staging.fill(arguments, record, chunk);

    const uint32_t thread = threadIdx.x % WARP;
    const uint64_t end = leaves.of(start + chunk.elements - 1) + 1;
    for (uint64_t leaf = leaves.of(start) + threadIdx.x / WARP; leaf < end; leaf += WARPS) {
        double lane[Sums::COUNT][LANES_OF_THREAD] = {};
        if (!idle) {
            const Scalars scalars = scalars_of<Scalars>(arguments, record, Scalars::OVER == PANOPTIM_ROW ? leaves.row(leaf) : 0);
            const uint32_t first = (uint32_t)(leaves.first(leaf) - start);
            const uint32_t elements = leaves.elements(leaf);
            const bool whole = Scalars::OVER != PANOPTIM_ROW || record.columns % WIDTH == 0;
#pragma unroll 1
            for (uint32_t at = thread * WIDTH; at < elements; at += PANOPTIM_LANES) {
                const uint32_t count = count_of(at, elements);
                const auto load = [&](const Stored& column) {
                    Stored those = column;
                    those.aligned &= whole;
                    return those.load(first + at, count);
                };
                const Four beside = staging.beside().is_there() ? load(staging.beside()) : Four();
                const Four value = staging.seen(load(staging.value), beside);
                const Four gradient = staging.gradient.widened(load(staging.gradient));
                float x[PANOPTIM_STATE + SLOTS][WIDTH];
#pragma unroll
                for (int slot = 0; slot < SLOTS; slot++) {
                    Four state = load(staging.state[slot]);
                    if (Scalars::QUANTIZABLE != 0 && is_code(staging.state[slot].dtype)) state = staging.decoded(slot, state, first + at);
                    else state = staging.state[slot].widened(state);
#pragma unroll
                    for (int k = 0; k < WIDTH; k++) x[PANOPTIM_STATE + slot][k] = state.number[k];
                }
#pragma unroll
                for (int k = 0; k < WIDTH; k++) {
                    x[PANOPTIM_VALUE][k] = value.number[k] * staging.keep;
                    x[PANOPTIM_GRADIENT][k] = staging.factors.scaled(gradient.number[k]);
                    if (k < (int)count) Sums::template add<LANES_OF_THREAD>(terms<Rule>(scalars, x, k), &lane[0][k]);
                }
            }
        }
#pragma unroll
        for (int sum = 0; sum < Sums::COUNT; sum++) {
            const double total = add_lanes<WIDTH>(lane[sum]);
            if (thread == 0) arguments.partials[(record.partials + leaf) * Sums::COUNT + sum] = total;
        }
    }
}

}  // namespace panoptim

#define PANOPTIM_STAGED(name, type, slots)                                                                                   \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, 2)                                                        \
        panoptim_staged_step_##name##_float32_##slots(const __grid_constant__ panoptim::Arguments<float> arguments) {        \
        panoptim::step_staged<panoptim::type, panoptim::type##Scalars<float>, slots>(arguments);                             \
    }
#define PANOPTIM_STAGED_MEASURE(name, type, slots, flag)                                                                     \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, 2)                                                        \
        panoptim_staged_measure_##name##_float32_##slots(const __grid_constant__ panoptim::Arguments<float> arguments) {     \
        panoptim::measure_staged<panoptim::type, panoptim::type##Scalars<float>, panoptim::type##Sums, slots>(arguments, flag); \
    }
#define PANOPTIM_STAGED_KERNELS(id, name, type, slots) PANOPTIM_STAGED(name, type, slots)
#define PANOPTIM_STAGED_MEASURES(id, name, type, slots, over, flag, reads, shared) PANOPTIM_STAGED_MEASURE(name, type, slots, flag)

#ifdef PANOPTIM_ONLY  // so that NVRTC compiles what is needed when it is needed
PANOPTIM_ONLY
#else
PANOPTIM_EACH_KERNEL(PANOPTIM_STAGED_KERNELS)
PANOPTIM_EACH_REDUCTION(PANOPTIM_STAGED_MEASURES)
#endif
