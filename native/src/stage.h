// A block of one tensor's elements on its way through a rule. Columns of the compute type are worked on where they lie; others,
// and gradients that are scaled first, lie in buffers meanwhile. What rides along with an update is done here, before the rule's
// loop and after it, while the block is in the nearest cache; the Java twins are io.panoptim.engine.reference.Riding and Step.
#pragma once
#include <string.h>

#include <algorithm>

#include "codes.h"
#include "convert.h"
#include "lanes.h"
#include "loop.h"
#include "reduce.h"

namespace panoptim {

// What rides along with a step, as the control block has it when the step begins.
struct Riding {
    uint32_t flags;
    bool stochastic_copy;
    float unscale32 = 1, clip32 = 1;
    double unscale64 = 1, clip64 = 1;

    explicit Riding(const panoptim_step& step) : flags(step.extras.flags), stochastic_copy(step.extras.copy_rounding != 0) {
        if (flags & PANOPTIM_UNSCALE) unscale64 = unscale32 = step.control->inverse_scale;
        if (flags & PANOPTIM_CLIP) {
            clip32 = step.control->clip_float32;
            clip64 = step.control->clip_float64;
        }
    }

    bool has(uint32_t flag) const { return (flags & flag) != 0; }
    bool scales() const { return has(PANOPTIM_UNSCALE | PANOPTIM_CLIP); }
    // Whether anything has to be done besides the rule in the pass over a block of the compute type.
    bool any() const { return (flags & ~(PANOPTIM_ZERO_GRADIENT | PANOPTIM_SKIP | PANOPTIM_STOCHASTIC)) != 0; }

    template <class T>
    T unscale() const {
        if constexpr (sizeof(T) == sizeof(float)) return unscale32;
        else return unscale64;
    }
    template <class T>
    T clip() const {
        if constexpr (sizeof(T) == sizeof(float)) return clip32;
        else return clip64;
    }
};

// In place, too.
template <class T>
inline void scale(T a, T b, uint64_t elements, const T* in, T* out) {
    const auto loop = [=](uint64_t count, const T* in, T* out) {
#pragma omp simd
        for (uint64_t i = 0; i < count; ++i) out[i] = in[i] * a * b;
    };
    each_line(elements, loop, in, out);
}

template <class T>
inline void flush_subnormal(uint64_t elements, T* x) {
    constexpr T smallest = sizeof(T) == sizeof(float) ? T(0x1p-126) : T(0x1p-1022);
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) x[i] = abs(x[i]) < smallest ? T(0) * x[i] : x[i];
}

template <class T>
inline void update_average(T weight, uint64_t elements, T* average, const T* value) {
    const auto loop = [=](uint64_t count, T* __restrict average, const T* __restrict value) {
#pragma omp simd
        for (uint64_t i = 0; i < count; ++i) average[i] = lerp(average[i], value[i], weight);
    };
    each_line(elements, loop, average, value);
}

// Adds a block's squares to the lanes of its leaf.
template <class T>
inline void add_statistics(uint64_t elements, double* __restrict lanes, const T* gradient, const T* before, const T* value) {
    for (uint64_t done = 0; done < elements; done += PANOPTIM_LANES) {
        const uint64_t count = std::min<uint64_t>(PANOPTIM_LANES, elements - done);
#pragma omp simd
        for (uint64_t i = 0; i < count; ++i) {
            const double g = gradient[done + i], p = value[done + i], change = p - double(before[done + i]);
            lanes[i] += g * g;
            lanes[i + PANOPTIM_LANES] += change * change;
            lanes[i + 2 * PANOPTIM_LANES] += p * p;
        }
    }
}

template <class T, uint64_t CAPACITY>
class Stage {
public:
    // The rule's columns, to be given to its loop.
    T* data[PANOPTIM_STATE + PANOPTIM_STATES];

    Stage(const panoptim_record& record, const Riding& riding)
        : record(record), riding(riding), columns(PANOPTIM_STATE + record.slots) {}

    // Whether a tensor needs no stage: then the rule's loop can run over all elements at once.
    static bool unneeded(const panoptim_record& record, const Riding& riding) {
        return !riding.any() && in_place(record, PANOPTIM_STATE + record.slots) && record.address[PANOPTIM_MASTER] == 0;
    }

    // Makes elements ready that the loop is going to read; of the other columns, by bit, only the place.
    void load(uint64_t first, uint64_t count, uint32_t reads) {
        start = first;
        elements = count;
        for (int column = 0; column < columns; ++column) {
            const bool read = reads >> column & 1;
            if (column == PANOPTIM_VALUE) {
                data[column] = value(read);
            } else {
                data[column] = column == PANOPTIM_GRADIENT && riding.scales() ? scaled() : loaded(column, read);
            }
        }
    }

    // Writes back what a step has changed, and does what follows from it.
    void store(const Row<T>& row) {
        for (int column = PANOPTIM_STATE; column < columns; ++column) {
            if (riding.has(PANOPTIM_FLUSH_SUBNORMAL)) flush_subnormal(elements, data[column]);
            stored(column, data[column]);
        }
        store_value(row);
        if (riding.has(PANOPTIM_WRITE_GRADIENT)) stored(PANOPTIM_GRADIENT, data[PANOPTIM_GRADIENT]);
        if (riding.has(PANOPTIM_UPDATE_AVERAGE) && record.address[PANOPTIM_AVERAGE] != 0) {
            T* average = loaded(PANOPTIM_AVERAGE, spare, true);
            update_average(row.average, elements, average, data[PANOPTIM_VALUE]);
            stored(PANOPTIM_AVERAGE, average);
        }
        if (riding.has(PANOPTIM_WRITE_COPY) && record.address[PANOPTIM_COPY] != 0) {
            convert(PANOPTIM_COPY, row, riding.stochastic_copy);
        }
    }

    // The values as they are before the update, for statistics.
    void remember() { memcpy(before, data[PANOPTIM_VALUE], elements * sizeof(T)); }

    void add_to(double* lanes) const {
        add_statistics(elements, lanes, data[PANOPTIM_GRADIENT], before, data[PANOPTIM_VALUE]);
    }

private:
    // What sees the values after the update.
    static constexpr uint32_t FOLLOWING = PANOPTIM_UPDATE_AVERAGE | PANOPTIM_WRITE_COPY | PANOPTIM_STATISTICS;

    const panoptim_record& record;
    const Riding& riding;
    const int columns;
    uint64_t start = 0;
    uint64_t elements = 0;
    alignas(64) T buffer[PANOPTIM_STATE + PANOPTIM_STATES][CAPACITY];
    alignas(64) T spare[CAPACITY];
    alignas(64) T before[CAPACITY];

    T* in_memory(int column) const { return reinterpret_cast<T*>(element(record, column, start)); }

    bool of_compute_type(int column) const { return record.dtype[column] == record.compute; }

    bool is_quantized(int column) const { return column < PANOPTIM_SCALE && quantized(record.dtype[column]); }

    Codes codes(int column) const {
        const int scales = PANOPTIM_SCALE + column - PANOPTIM_STATE;
        const uint8_t dtype = record.dtype[column];
        return {dtype, record.dtype[scales], reinterpret_cast<uint8_t*>(element(record, column, packed(dtype) ? start / 2 : start)),
                element(record, scales, start / block_of(dtype))};
    }

    T* loaded(int column, T* into, bool read) const {
        if constexpr (std::is_same_v<T, float>) {
            if (is_quantized(column)) {
                if (read) dequantize(codes(column), elements, into);
                return into;
            }
        }
        if (read) return widened(record.dtype[column], element(record, column, start), elements, into);
        return of_compute_type(column) ? in_memory(column) : into;
    }

    T* loaded(int column, bool read) { return loaded(column, buffer[column], read); }

    // As the rule sees it, from whatever it is stored in.
    T* value(bool read) {
        if constexpr (std::is_same_v<T, float>) {
            if (record.address[PANOPTIM_MASTER] != 0 && !of_compute_type(PANOPTIM_MASTER)) {
                if (read) join(halves(PANOPTIM_VALUE), halves(PANOPTIM_MASTER), elements, buffer[PANOPTIM_VALUE]);
                return buffer[PANOPTIM_VALUE];
            }
            if (record.address[PANOPTIM_COMPENSATION] != 0 && read) {
                add(elements, loaded(PANOPTIM_COMPENSATION, spare, true), loaded(PANOPTIM_VALUE, true));
                return buffer[PANOPTIM_VALUE];
            }
        }
        return record.address[PANOPTIM_MASTER] != 0 ? in_memory(PANOPTIM_MASTER) : loaded(PANOPTIM_VALUE, read);
    }

    // Stores the values; what follows sees them as they can be read back.
    void store_value(const Row<T>& row) {
        if constexpr (std::is_same_v<T, float>) {
            if (record.address[PANOPTIM_MASTER] != 0 && !of_compute_type(PANOPTIM_MASTER)) {
                return split(data[PANOPTIM_VALUE], elements, halves(PANOPTIM_VALUE), halves(PANOPTIM_MASTER));
            }
            if (record.address[PANOPTIM_COMPENSATION] != 0) {
                stored(PANOPTIM_VALUE, data[PANOPTIM_VALUE]);
                subtract(elements, data[PANOPTIM_VALUE], loaded(PANOPTIM_VALUE, spare, true));
                stored(PANOPTIM_COMPENSATION, spare);
                if (riding.has(FOLLOWING)) value(true);
                return;
            }
        }
        if (record.address[PANOPTIM_MASTER] != 0) return convert(PANOPTIM_VALUE, row, false);
        stored(PANOPTIM_VALUE, data[PANOPTIM_VALUE], row, riding.has(PANOPTIM_STOCHASTIC));
        if (riding.has(FOLLOWING)) loaded(PANOPTIM_VALUE, true);  // as it has been rounded
    }

    uint16_t* halves(int column) const { return reinterpret_cast<uint16_t*>(element(record, column, start)); }

    T* scaled() {
        T* gradient = buffer[PANOPTIM_GRADIENT];
        scale(riding.unscale<T>(), riding.clip<T>(), elements, loaded(PANOPTIM_GRADIENT, true), gradient);
        return gradient;
    }

    // What lies in a buffer goes to its column.
    void stored(int column, const T* from) const {
        if constexpr (std::is_same_v<T, float>) {
            if (is_quantized(column)) return quantize(codes(column), elements, from);
        }
        if (of_compute_type(column)) {
            if (from != in_memory(column)) memcpy(in_memory(column), from, elements * sizeof(T));
        } else {
            narrow(record.dtype[column], from, elements, element(record, column, start));
        }
    }

    void stored(int column, const T* from, const Row<T>& row, bool stochastic) const {
        if constexpr (std::is_same_v<T, float>) {
            if (stochastic && record.dtype[column] == PANOPTIM_BFLOAT16) {
                return round_stochastically(row.noise, record.id, column, record.origin + start, elements, from, halves(column));
            }
        }
        stored(column, from);
    }

    // Rounds the values to another column's type. Conversions work on whole vectors of a buffer.
    void convert(int column, const Row<T>& row, bool stochastic) {
        if (of_compute_type(column)) return stored(column, data[PANOPTIM_VALUE]);
        memcpy(spare, data[PANOPTIM_VALUE], elements * sizeof(T));
        stored(column, spare, row, stochastic);
    }
};

}  // namespace panoptim
