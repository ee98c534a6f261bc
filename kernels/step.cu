// The fused step on CUDA: one kernel per rule, compute type and number of state slots; one block per chunk, whose threads
// load a group of elements, apply the rule, and store. Rules that take sums have two kernels more, to be launched before it:
// one that sums over the leaves, likewise with one block per chunk, and one with a block per reduction that finishes them.
// What rides along with an update is done before and after the rule by branches that all threads take alike.
// Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "block_sum.h"
#include "step.h"

// Blocks per multiprocessor, at least: 64 registers a thread, and 128 where more bytes are in flight anyway or each lane has its row's
// scalars, or 80 where three states come together with what follows from sums.
#define PANOPTIM_BLOCKS(type, slots, T) \
    ((slots) > 3 || sizeof(T) > 4 || panoptim::type##Scalars<T>::OVER == PANOPTIM_ROW ? 2 \
     : (slots) > 2 && panoptim::type##Scalars<T>::OVER != 0 ? 3 : 4)

// To be compared with the host's when the module is loaded.
extern "C" {
__device__ char panoptim_rules_hash[] = PANOPTIM_RULES_HASH;
}

namespace panoptim {

// The columns that follow the value: they are loaded, if at all, when the rule is done, so that it has the registers.
constexpr int AVERAGE = 0, COPY = 1, ROUNDED = 2, FOLLOWERS = 3;

__device__ inline int follower(int number) {
    return number == AVERAGE ? PANOPTIM_AVERAGE : number == COPY ? PANOPTIM_COPY : PANOPTIM_VALUE;
}

// Whether a tensor has a follower that is to be written.
__device__ inline bool follows(int number, uint32_t extras, const panoptim_record& record) {
    if (number == ROUNDED) return record.address[PANOPTIM_MASTER] != 0;
    return extras & (number == AVERAGE ? PANOPTIM_UPDATE_AVERAGE : PANOPTIM_WRITE_COPY) && record.address[follower(number)] != 0;
}

// What all threads of a block know.
template <class T>
struct Plan {
    uint32_t width, begin, elements;  // of groups
    bool following;
    T keep, average;
    Factors<T> factors;
};

// Writes the value, as it has been rounded to be stored, to the columns that follow it; they have an address of 0 where there is none.
template <int PARTS, class T>
__device__ void follow(const Column<T>& value, const Vector<T>& rounded, const Group& group, const Column<T> (&followers)[FOLLOWERS],
                       const Plan<T>& plan) {
    constexpr int LANES = Vector<T>::LANES;
#pragma unroll 1
    for (int number = 0; number < FOLLOWERS; number++) {
        if (followers[number].address == 0) continue;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            if (part * LANES == (int)group.width) break;
            const Group those{group.first + part * LANES, LANES, group.mask >> part * LANES & ((1u << LANES) - 1)};
            T x[LANES];
            value.widen(rounded, part, x);
            Vector<T> v = {};
            if (number == AVERAGE) {
                v = followers[number].load(those);
                T average[LANES];
                followers[number].widen(v, 0, average);
#pragma unroll
                for (int k = 0; k < LANES; k++) x[k] = lerp(average[k], x[k], plan.average);
            }
            followers[number].narrow(x, 0, v);
            followers[number].store(those, v);
        }
    }
}

template <class T, int COLUMNS, int LANES>
__device__ void flush_states(T (&x)[COLUMNS][LANES]) {
#pragma unroll
    for (int c = PANOPTIM_STATE; c < COLUMNS; c++) {
#pragma unroll
        for (int k = 0; k < LANES; k++) x[c][k] = flushed(x[c][k]);
    }
}

__device__ inline bool stored(int column, uint32_t extras) {
    return column != PANOPTIM_GRADIENT || extras & (PANOPTIM_ZERO_GRADIENT | PANOPTIM_WRITE_GRADIENT);
}

template <class Rule, class Scalars, class T, int SLOTS>
__device__ void step(const Arguments<T>& arguments) {
    constexpr int COLUMNS = PANOPTIM_STATE + SLOTS;
    constexpr int LANES = Vector<T>::LANES;
    constexpr int PARTS = sizeof(T) == sizeof(float) ? 2 : 1;

    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    if (record.scalar_class < 0) return;
    const uint32_t extras = arguments.extras;
    if (skipped(extras, arguments.control)) {
        if (extras & PANOPTIM_ZERO_GRADIENT) zero_gradient<T>(record, chunk);
        return;
    }
    const Scalars scalars = scalars_of<Scalars>(arguments, record, 0);

    // Where all columns are halves, their vectors hold two parts.
    int parts = PARTS;
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
        if (Column<T>::size(record.dtype[column_of(record, c)]) == sizeof(T)) parts = 1;
    }
    const uint32_t width = LANES * parts;
    const int value = column_of(record, PANOPTIM_VALUE);
    const uint32_t begin = phase(Column<T>::start(record, value, chunk), Column<T>::size(record.dtype[value]), width);

    // In shared memory, not in each thread's registers.
    __shared__ Column<T> columns[COLUMNS];
    __shared__ Column<T> followers[FOLLOWERS];
    __shared__ Plan<T> plan;
    if (threadIdx.x < COLUMNS) {
        const int column = column_of(record, threadIdx.x);
        const uint32_t dtype = record.dtype[column];
        const uint32_t size = Column<T>::size(dtype);
        const uint64_t start = Column<T>::start(record, column, chunk);
        columns[threadIdx.x] = {start - begin * size, dtype, phase(start, size, width) == begin};
    } else if (threadIdx.x < COLUMNS + FOLLOWERS) {
        const int number = threadIdx.x - COLUMNS;
        const uint32_t dtype = record.dtype[follower(number)];
        const uint32_t size = Column<T>::size(dtype);
        const uint64_t start = Column<T>::start(record, follower(number), chunk);
        followers[number] = {0, dtype, phase(start, size, LANES) == begin % LANES};
        if (follows(number, extras, record)) followers[number].address = start - begin * size;
    } else if (threadIdx.x == COLUMNS + FOLLOWERS) {
        const Row<T>& row = row_of(arguments, record);
        const bool following = follows(AVERAGE, extras, record) || follows(COPY, extras, record) || follows(ROUNDED, extras, record);
        plan = {width, begin, chunk.elements, following, row.keep, row.average, Factors<T>::of(extras, arguments.control)};
    }
    __syncthreads();

#pragma unroll 1
    for (uint32_t i = threadIdx.x;; i += PANOPTIM_THREADS) {
        const Groups groups(plan.width, plan.begin, plan.elements);
        if (i >= groups.count()) break;
        const Group group = groups[i];
        // All loads are under way before the first is waited for, which is why they do not widen.
        Vector<T> v[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) v[c] = columns[c].load(group);
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
            if (part * LANES == (int)group.width) break;
            T x[COLUMNS][LANES];
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) columns[c].widen(v[c], part, x[c]);
#pragma unroll
            for (int k = 0; k < LANES; k++) {
                x[PANOPTIM_VALUE][k] *= plan.keep;
                x[PANOPTIM_GRADIENT][k] = plan.factors.scaled(x[PANOPTIM_GRADIENT][k]);
                if constexpr (Scalars::OVER == PANOPTIM_ROW) {
                    const uint32_t lane = group.first + part * LANES + k;
                    const uint64_t index = chunk.start - record.begin + (lane < plan.begin ? 0 : lane - plan.begin);
                    const uint64_t row = index / record.columns < record.rows ? index / record.columns : 0;
                    update<Rule>(scalars_of<Scalars>(arguments, record, row), x, k);
                } else {
                    update<Rule>(scalars, x, k);
                }
            }
            if (extras & PANOPTIM_FLUSH_SUBNORMAL) flush_states(x);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                if (stored(c, extras)) columns[c].narrow(x[c], part, v[c]);
            }
        }
        if (extras & PANOPTIM_ZERO_GRADIENT) v[PANOPTIM_GRADIENT] = {};
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            if (stored(c, extras)) columns[c].store(group, v[c]);
        }
        if (plan.following) follow<PARTS>(columns[PANOPTIM_VALUE], v[PANOPTIM_VALUE], group, followers, plan);
    }
}

// Each warp takes a leaf at a time.
template <class Rule, class Scalars, class Sums, class T, int SLOTS>
__device__ void measure(const Arguments<T>& arguments, uint32_t flag) {
    constexpr int COLUMNS = PANOPTIM_STATE + SLOTS;
    constexpr int VECTOR = Vector<T>::LANES;

    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    const uint32_t extras = arguments.extras;
    if (skipped(extras, arguments.control)) return;
    const int32_t own = record.scalar_class;
    const bool idle = own < 0 || (flag & ~(arguments.rows ? arguments.rows[own].flags : arguments.row[own].flags)) != 0;
    const Leaves leaves(record);
    const uint64_t start = chunk.start - record.begin;

    __shared__ Column<T> columns[COLUMNS];
    __shared__ Factors<T> factors;
    if (threadIdx.x < COLUMNS) {
        const int column = column_of(record, threadIdx.x);
        const uint32_t dtype = record.dtype[column];
        const uint64_t address = Column<T>::start(record, column, chunk);
        const bool whole_vectors = Scalars::OVER != PANOPTIM_ROW || record.columns % VECTOR == 0;
        columns[threadIdx.x] = {address, dtype, whole_vectors && phase(address, Column<T>::size(dtype), VECTOR) == 0};
    } else if (threadIdx.x == COLUMNS) {
        factors = Factors<T>::of(extras, arguments.control);
    }
    __syncthreads();

    const uint32_t thread = threadIdx.x % WARP;
    const uint64_t end = leaves.of(start + chunk.elements - 1) + 1;
    for (uint64_t leaf = leaves.of(start) + threadIdx.x / WARP; leaf < end; leaf += PANOPTIM_THREADS / WARP) {
        double lane[Sums::COUNT][LANES_OF_THREAD] = {};
        if (!idle) {
            const Scalars scalars = scalars_of<Scalars>(arguments, record, Scalars::OVER == PANOPTIM_ROW ? leaves.row(leaf) : 0);
            const T keep = row_of(arguments, record).keep;
            const uint32_t first = (uint32_t)(leaves.first(leaf) - start);
            const uint32_t elements = leaves.elements(leaf);
#pragma unroll 1
            for (uint32_t at = thread * VECTOR; at < elements; at += PANOPTIM_LANES) {
#pragma unroll
                for (int part = 0; part < LANES_OF_THREAD / VECTOR; part++) {
                    const uint32_t from = at + part * VECTOR * WARP;
                    const uint32_t rest = from < elements ? elements - from : 0;
                    const Group group{first + from, VECTOR, rest < VECTOR ? (1u << rest) - 1 : (1u << VECTOR) - 1};
                    T x[COLUMNS][VECTOR];
#pragma unroll
                    for (int c = 0; c < COLUMNS; c++) columns[c].widen(columns[c].load(group), 0, x[c]);
#pragma unroll
                    for (int k = 0; k < VECTOR; k++) {
                        x[PANOPTIM_VALUE][k] *= keep;
                        x[PANOPTIM_GRADIENT][k] = factors.scaled(x[PANOPTIM_GRADIENT][k]);
                        if (group.has(k)) {
                            Sums::template add<LANES_OF_THREAD>(terms<Rule>(scalars, x, k), &lane[0][part * VECTOR + k]);
                        }
                    }
                }
            }
        }
#pragma unroll
        for (int sum = 0; sum < Sums::COUNT; sum++) {
            const double total = add_lanes<VECTOR>(lane[sum]);
            if (thread == 0) arguments.partials[(record.partials + leaf) * Sums::COUNT + sum] = total;
        }
    }
}

// What finishing a table's reductions reads and writes, likewise; the rows are not rounded.
struct FinishArguments {
    const panoptim_record* records;
    const panoptim_reduction* reductions;  // one per block
    const Row<double>* rows;
    double* partials;
    double* reduced;
    uint32_t before;  // 1 before the sums are taken: prepares them, where they are over all tensors
    uint32_t extras;  // of which only one matters: whether the step may be skipped
    const panoptim_control* control;
    uint64_t reserved;
    Row<double> row[(4096 - 64) / sizeof(Row<double>)];
};
static_assert(sizeof(FinishArguments) <= 4096, "what every driver takes");

// The exact sum over each row's leaves, which comes to lie where the row's number says: no row's leaves begin before that.
template <int SUMS>
__device__ void add_up(const panoptim_reduction& reduction, double* partials) {
    if (reduction.rows == 1) {
        for (int sum = 0; sum < SUMS; sum++) {
            const double total = block_sum<PANOPTIM_THREADS>(partials + sum, reduction.row_leaves, SUMS);
            if (threadIdx.x == 0) partials[sum] = total;
        }
        __syncthreads();
        return;
    }
    for (uint64_t first = 0; first < reduction.rows; first += PANOPTIM_THREADS) {
        const uint64_t row = first + threadIdx.x;
        double total[SUMS];
        for (int sum = 0; sum < SUMS && row < reduction.rows; sum++) {
            total[sum] = exact_sum(partials + row * reduction.row_leaves * SUMS + sum, reduction.row_leaves, SUMS);
        }
        __syncthreads();
        for (int sum = 0; sum < SUMS && row < reduction.rows; sum++) partials[row * SUMS + sum] = total[sum];
        __syncthreads();
    }
}

// Of the states that elements share, each has one value for each row.
template <class Rule, int SHARED, class Scalars, class Sums, class Reduced, class... Shared>
__device__ void call(const Scalars& scalars, bool before, const panoptim_reduction& reduction, const Sums* sums, Reduced* reduced,
                     double* next, Shared*... shared) {
    if constexpr (sizeof...(shared) < SHARED) {
        call<Rule, SHARED>(scalars, before, reduction, sums, reduced, next + reduction.rows, shared..., next);
    } else {
        if constexpr (Scalars::OVER == PANOPTIM_GLOBAL) {
            if (before) return Rule::prepare(scalars, reduced, shared...);
        }
        Rule::finish(scalars, reduction.rows, reduction.columns, sums, reduced, shared...);
    }
}

template <class Rule, class Scalars, class Sums, class Reduced, int SHARED>
__device__ void finish(const FinishArguments& arguments, uint32_t flag) {
    if (skipped(arguments.extras, arguments.control)) return;
    const bool before = arguments.before != 0;
    const panoptim_reduction& reduction = arguments.reductions[blockIdx.x];
    const panoptim_record& record = arguments.records[reduction.tensor];
    const bool global = Scalars::OVER == PANOPTIM_GLOBAL;
    const int32_t own = record.scalar_class < 0 && global ? 0 : record.scalar_class;
    if (own < 0) return;
    const Row<double>& row = arguments.rows ? arguments.rows[own] : arguments.row[own];
    if (!global && (flag & ~row.flags) != 0) return;
    double* sums = arguments.partials + reduction.leaves * Sums::COUNT;
    double* reduced = arguments.reduced + reduction.reduced * Reduced::COUNT;
    if (!before) add_up<Sums::COUNT>(reduction, sums);
    if (threadIdx.x != 0) return;
    const Scalars scalars(row, reduced);
    double* shared = (double*)record.address[PANOPTIM_STATE + record.slots];
    call<Rule, SHARED>(scalars, before, reduction, (const Sums*)sums, (Reduced*)reduced, shared);
}

}  // namespace panoptim

#define PANOPTIM_KERNEL(name, type, slots, T, compute)                                             \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, PANOPTIM_BLOCKS(type, slots, T))      \
        panoptim_step_##name##_##compute##_##slots(                                                \
            const __grid_constant__ panoptim::Arguments<T> arguments) {                            \
        panoptim::step<panoptim::type, panoptim::type##Scalars<T>, T, slots>(arguments);           \
    }
#define PANOPTIM_KERNELS(id, name, type, slots)        \
    PANOPTIM_KERNEL(name, type, slots, float, float32) \
    PANOPTIM_KERNEL(name, type, slots, double, float64)

#define PANOPTIM_MEASURE(name, type, slots, flag, T, compute)                                                  \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, 2)                                          \
        panoptim_measure_##name##_##compute##_##slots(const __grid_constant__ panoptim::Arguments<T> arguments) { \
        panoptim::measure<panoptim::type, panoptim::type##Scalars<T>, panoptim::type##Sums, T, slots>(arguments, flag); \
    }
#define PANOPTIM_FINISH(name, type, flag, shared)                                                              \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, 2)                                          \
        panoptim_finish_##name(const __grid_constant__ panoptim::FinishArguments arguments) {                  \
        panoptim::finish<panoptim::type, panoptim::type##Scalars<double>, panoptim::type##Sums,                \
                         panoptim::type##Reduced, shared>(arguments, flag);                                    \
    }
#define PANOPTIM_MEASURES(id, name, type, slots, over, flag, reads, shared) \
    PANOPTIM_MEASURE(name, type, slots, flag, float, float32)               \
    PANOPTIM_MEASURE(name, type, slots, flag, double, float64)

#ifdef PANOPTIM_ONLY  // one PANOPTIM_KERNEL(...), so that NVRTC compiles what is needed when it is needed
PANOPTIM_ONLY
#else
PANOPTIM_EACH_KERNEL(PANOPTIM_KERNELS)
PANOPTIM_EACH_REDUCTION(PANOPTIM_MEASURES)
PANOPTIM_EACH_FINISH(PANOPTIM_FINISH)
#endif
