// The fused step on CUDA: one kernel per rule, compute type and number of state slots; one block per chunk, whose threads
// load a group of elements, apply the rule, and store. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "groups.h"
#include "half.h"
#include "panoptim_rules.h"

#define PANOPTIM_THREADS 256
// Blocks per multiprocessor, at least: 64 registers a thread, and 128 where more bytes are in flight anyway.
#define PANOPTIM_BLOCKS(slots, T) ((slots) > 3 || sizeof(T) > 4 ? 2 : 4)

// To be compared with the host's when the module is loaded.
extern "C" {
__device__ char panoptim_rules_hash[] = PANOPTIM_RULES_HASH;
}

namespace panoptim {

// The only argument of a kernel. Rows travel in it while they fit into the 4096 bytes that every driver takes.
template <class T>
struct Arguments {
    const panoptim_record* records;
    const panoptim_chunk* chunks;  // one per block, of records with this kernel's compute type and number of slots
    const Row<T>* rows;            // by class; null: those below
    uint32_t extras;
    uint32_t reserved[9];
    Row<T> row[(4096 - 64) / sizeof(Row<T>)];
};
static_assert(sizeof(Arguments<float>) == 4080 && sizeof(Arguments<double>) == 4008, "as Java writes them");

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

// What rides along after the rule.
template <class T, int COLUMNS, int LANES>
__device__ void epilogue(uint32_t extras, T (&x)[COLUMNS][LANES]) {
    if (extras & PANOPTIM_ZERO_GRADIENT) {
#pragma unroll
        for (int k = 0; k < LANES; k++) x[PANOPTIM_GRADIENT][k] = 0;
    }
}

__device__ inline bool stored(int column, uint32_t extras) {
    return column != PANOPTIM_GRADIENT || extras & PANOPTIM_ZERO_GRADIENT;
}

template <class Rule, class Scalars, class T, int SLOTS>
__device__ void step(const Arguments<T>& arguments) {
    constexpr int COLUMNS = PANOPTIM_STATE + SLOTS;
    constexpr int LANES = Vector<T>::LANES;
    constexpr int PARTS = sizeof(T) == sizeof(float) ? 2 : 1;

    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    const int32_t row = record.scalar_class;
    if (row < 0) return;
    const Scalars scalars = arguments.rows ? Scalars(arguments.rows[row]) : Scalars(arguments.row[row]);
    const uint32_t extras = arguments.extras;

    // Where all columns are halves, their vectors hold two parts.
    int parts = PARTS;
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
        if (Column<T>::size(record.dtype[c]) == sizeof(T)) parts = 1;
    }
    const uint32_t width = LANES * parts;
    const uint32_t value_size = Column<T>::size(record.dtype[PANOPTIM_VALUE]);
    const uint32_t begin = phase(Column<T>::start(record, PANOPTIM_VALUE, chunk), value_size, width);
    const Groups groups(width, begin, chunk.elements);

    // In shared memory, not in each thread's registers.
    __shared__ Column<T> columns[COLUMNS];
    if (threadIdx.x < COLUMNS) {
        const uint32_t dtype = record.dtype[threadIdx.x];
        const uint32_t size = Column<T>::size(dtype);
        const uint64_t start = Column<T>::start(record, threadIdx.x, chunk);
        columns[threadIdx.x] = {start - begin * size, dtype, phase(start, size, width) == begin};
    }
    __syncthreads();

#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < groups.count(); i += PANOPTIM_THREADS) {
        const Group group = groups[i];
        // All loads are under way before the first is waited for, which is why they do not widen.
        Vector<T> v[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) v[c] = columns[c].load(group);
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            if (part == parts) break;
            T x[COLUMNS][LANES];
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) columns[c].widen(v[c], part, x[c]);
#pragma unroll
            for (int k = 0; k < LANES; k++) update<Rule>(scalars, x, k);
            epilogue(extras, x);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                if (stored(c, extras)) columns[c].narrow(x[c], part, v[c]);
            }
        }
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            if (stored(c, extras)) columns[c].store(group, v[c]);
        }
    }
}

}  // namespace panoptim

#define PANOPTIM_KERNEL(name, type, slots, T, compute)                                             \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, PANOPTIM_BLOCKS(slots, T))      \
        panoptim_step_##name##_##compute##_##slots(                                                \
            const __grid_constant__ panoptim::Arguments<T> arguments) {                            \
        panoptim::step<panoptim::type, panoptim::type##Scalars<T>, T, slots>(arguments);           \
    }
#define PANOPTIM_KERNELS(id, name, type, slots)        \
    PANOPTIM_KERNEL(name, type, slots, float, float32) \
    PANOPTIM_KERNEL(name, type, slots, double, float64)

#ifdef PANOPTIM_ONLY  // one PANOPTIM_KERNEL(...), so that NVRTC compiles what is needed when it is needed
PANOPTIM_ONLY
#else
PANOPTIM_EACH_KERNEL(PANOPTIM_KERNELS)
#endif
