// What the kernels of step.cu and staged.cu share: their argument, columns of numbers, leaves, and how a rule is called.
#pragma once
#include "groups.h"
#include "half.h"
#include "panoptim_rules.h"
#include "riding.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// The only argument of a kernel. Rows travel in it while they fit into the 4096 bytes that every driver takes.
template <class T>
struct Arguments {
    const panoptim_record* records;
    const panoptim_chunk* chunks;  // one per block, of records with this kernel's compute type and number of slots
    const Row<T>* rows;            // by class; null: those below
    double* partials;              // the sums over leaves, and what follows from them; null where the rule has none
    double* reduced;
    uint32_t reserved;
    uint32_t extras;
    const panoptim_control* control;  // null where no extra needs it
    uint32_t stochastic_copy;         // 1: copies are rounded stochastically
    uint32_t reserved_too;
    Row<T> row[(4096 - 64) / sizeof(Row<T>)];
};
static_assert(sizeof(Arguments<float>) <= 4096 && sizeof(Arguments<double>) <= 4096, "what every driver takes");

// 16 bytes of a column: elements of the compute type or, where the compute type is float32, up to 8 halves, two per word.
template <class T>
union alignas(16) Vector {
    static constexpr int LANES = 16 / sizeof(T);
    T lane[LANES];
    uint32_t word[4];
    uint64_t front;
};

// A column of the block's chunk.
template <class T>
struct Column {
    using Half = unsigned short;
    static constexpr int LANES = Vector<T>::LANES;

    uint64_t address;  // of index 0
    uint32_t dtype;
    uint32_t aligned;  // its vectors begin where the value's do

    __device__ static uint32_t size(uint32_t dtype) {
        return sizeof(T) == sizeof(double) || dtype == PANOPTIM_FLOAT32 ? sizeof(T) : sizeof(Half);
    }

    __device__ static uint64_t start(const panoptim_record& record, int column, const panoptim_chunk& chunk) {
        return record.address[column] + chunk.start * size(record.dtype[column]);
    }

    __device__ bool half() const { return size(dtype) < sizeof(T); }

    __device__ Vector<T> load(const Group& group) const {
        Vector<T> v = {};
        uint64_t at = address + (uint64_t)group.first * size(dtype);
        if (aligned && group.full()) {
            if (half() && group.width == LANES) v.front = *(const uint64_t*)at;
            else v = *(const Vector<T>*)at;
        } else if (half()) {
#pragma unroll
            for (int k = 0; k < 8; k++) {
                if (group.has(k)) v.word[k / 2] |= (uint32_t)((const Half*)at)[k] << k % 2 * 16;
            }
        } else {
#pragma unroll
            for (int k = 0; k < LANES; k++) {
                if (group.has(k)) v.lane[k] = ((const T*)at)[k];
            }
        }
        return v;
    }

    __device__ void store(const Group& group, const Vector<T>& v) const {
        uint64_t at = address + (uint64_t)group.first * size(dtype);
        if (aligned && group.full()) {
            if (half() && group.width == LANES) *(uint64_t*)at = v.front;
            else *(Vector<T>*)at = v;
        } else if (half()) {
#pragma unroll
            for (int k = 0; k < 8; k++) {
                if (group.has(k)) ((Half*)at)[k] = (Half)(v.word[k / 2] >> k % 2 * 16);
            }
        } else {
#pragma unroll
            for (int k = 0; k < LANES; k++) {
                if (group.has(k)) ((T*)at)[k] = v.lane[k];
            }
        }
    }

    // A part is as many elements as a vector has of the compute type.
    __device__ void widen(const Vector<T>& v, int part, T (&x)[LANES]) const {
        const uint32_t* word = v.word + part * 2;
        if (!half()) {
#pragma unroll
            for (int k = 0; k < LANES; k++) x[k] = v.lane[k];
        } else if (dtype == PANOPTIM_BFLOAT16) {
#pragma unroll
            for (int k = 0; k < LANES; k++) x[k] = from_bfloat16(word[k / 2] >> k % 2 * 16 & 0xffff);
        } else {
#pragma unroll
            for (int k = 0; k < LANES; k++) x[k] = from_float16(word[k / 2] >> k % 2 * 16 & 0xffff);
        }
    }

    __device__ void narrow(const T (&x)[LANES], int part, Vector<T>& v) const {
        uint32_t* word = v.word + part * 2;
        if (!half()) {
#pragma unroll
            for (int k = 0; k < LANES; k++) v.lane[k] = x[k];
        } else if (dtype == PANOPTIM_BFLOAT16) {
#pragma unroll
            for (int k = 0; k < LANES; k += 2) word[k / 2] = to_bfloat16(x[k]) | to_bfloat16(x[k + 1]) << 16;
        } else {
#pragma unroll
            for (int k = 0; k < LANES; k += 2) word[k / 2] = to_float16(x[k]) | to_float16(x[k + 1]) << 16;
        }
    }
};

// The scalars of a record's class; where rows have reduced values of their own, those of one row.
template <class Scalars, class T>
__device__ Scalars scalars_of(const Arguments<T>& arguments, const panoptim_record& record, uint64_t row) {
    const double* reduced = arguments.reduced + (record.reduced + row) * Scalars::REDUCED;
    const int32_t own = record.scalar_class;
    return arguments.rows ? Scalars(arguments.rows[own], reduced) : Scalars(arguments.row[own], reduced);
}

template <class T>
__device__ const Row<T>& row_of(const Arguments<T>& arguments, const panoptim_record& record) {
    return (arguments.rows ? arguments.rows : arguments.row)[record.scalar_class];
}

// Calls the rule on one lane of all columns.
template <class Rule, class Scalars, class T, int COLUMNS, int LANES, class... State>
__device__ void update(const Scalars& scalars, T (&x)[COLUMNS][LANES], int lane, State&... state) {
    constexpr int next = PANOPTIM_STATE + sizeof...(State);
    if constexpr (next < COLUMNS) {
        update<Rule>(scalars, x, lane, state..., x[next][lane]);
    } else {
        Rule::update(scalars, x[PANOPTIM_VALUE][lane], x[PANOPTIM_GRADIENT][lane], state...);
    }
}

template <class T>
__device__ T flushed(T x) {
    return abs(x) < (sizeof(T) == sizeof(float) ? T(0x1p-126) : T(0x1p-1022)) ? T(0) * x : x;
}

// All that a step does that is skipped.
template <class T>
__device__ void zero_gradient(const panoptim_record& record, const panoptim_chunk& chunk) {
    const uint32_t dtype = record.dtype[PANOPTIM_GRADIENT];
    const uint64_t address = Column<T>::start(record, PANOPTIM_GRADIENT, chunk);
    for (uint32_t i = threadIdx.x; i < chunk.elements; i += PANOPTIM_THREADS) {
        if (Column<T>::size(dtype) < sizeof(T)) ((typename Column<T>::Half*)address)[i] = 0;
        else ((T*)address)[i] = 0;
    }
}

// Calls the rule's terms on one lane of all columns.
template <class Rule, class Scalars, class T, int COLUMNS, int LANES, class... State>
__device__ auto terms(const Scalars& scalars, const T (&x)[COLUMNS][LANES], int lane, const State&... state) {
    constexpr int next = PANOPTIM_STATE + sizeof...(State);
    if constexpr (next < COLUMNS) {
        return terms<Rule>(scalars, x, lane, state..., x[next][lane]);
    } else {
        return Rule::terms(scalars, x[PANOPTIM_VALUE][lane], x[PANOPTIM_GRADIENT][lane], state...);
    }
}

constexpr int WARP = 32;
constexpr int LANES_OF_THREAD = PANOPTIM_LANES / WARP;

// Adds the upper half of a warp's lanes to the lower, until one is left: in the first thread. Each thread has VECTOR
// neighbouring lanes at a time.
template <int VECTOR>
__device__ double add_lanes(double (&lane)[LANES_OF_THREAD]) {
#pragma unroll
    for (int half = PANOPTIM_LANES / 2; half > 0; half /= 2) {
        const int distance = half >= VECTOR * WARP ? half / WARP : half < VECTOR ? half : 0;  // within a thread
#pragma unroll
        for (int k = 0; k < LANES_OF_THREAD; k++) {
            if (distance == 0) lane[k] += __shfl_down_sync(~0u, lane[k], half / VECTOR);
            else if (k + distance < LANES_OF_THREAD) lane[k] += lane[k + distance];
        }
    }
    return lane[0];
}

// Where the leaves of a record lie. (One that is reduced as a whole has one row.)
struct Leaves {
    const panoptim_record& record;
    const uint64_t in_row;

    __device__ explicit Leaves(const panoptim_record& record)
        : record(record), in_row((record.columns + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF) {}

    // The leaf of an element that counts from the record's first.
    __device__ uint64_t of(uint64_t index) const {
        return index / record.columns * in_row + index % record.columns / PANOPTIM_LEAF;
    }
    __device__ uint64_t row(uint64_t leaf) const { return leaf / in_row; }
    __device__ uint64_t first(uint64_t leaf) const { return row(leaf) * record.columns + leaf % in_row * PANOPTIM_LEAF; }
    __device__ uint32_t elements(uint64_t leaf) const {
        const uint64_t rest = record.columns - leaf % in_row * PANOPTIM_LEAF;
        return rest < PANOPTIM_LEAF ? (uint32_t)rest : PANOPTIM_LEAF;
    }
};

}  // namespace panoptim
