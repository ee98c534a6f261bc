// The verbs over whole columns of a table on CUDA, and the statistics of a step: one block per chunk; for reductions, each warp takes a
// leaf at a time, and one more block finishes them. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "block_sum.h"
#include "half.h"
#include "leaf.h"
#include "map.h"
#include "master.h"
#include "riding.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// The only argument of these kernels.
struct ColumnArguments {
    const panoptim_record* records;
    const panoptim_chunk* chunks;  // one per block, of records with this kernel's compute type
    double* leaves;                // what each leaf is reduced to, by the records' index of the first
    double* result;                // what they are reduced to
    uint64_t leaf_count;
    uint32_t kind;
    uint32_t target, source;       // the columns: written and read, or the left and the right one
    uint32_t reserved;
    double a, b;                   // coefficients, before they are rounded to the compute type; of reductions factor and exponent
    const panoptim_control* control;  // or null; its inverse scale is the factor instead
    uint32_t* nonfinite;              // or null; set to 1 where an element of the left column is infinite or NaN
};
static_assert(sizeof(ColumnArguments) == 88, "as Java writes them");

template <class T>
__device__ T read(const panoptim_record& record, uint32_t column, uint64_t index) {
    const uint64_t address = record.address[column];
    if constexpr (sizeof(T) == sizeof(float)) {
        if (record.dtype[column] == PANOPTIM_BFLOAT16) return from_bfloat16(((const unsigned short*)address)[index]);
        if (record.dtype[column] == PANOPTIM_FLOAT16) return from_float16(((const unsigned short*)address)[index]);
    }
    return ((const T*)address)[index];
}

template <class T>
__device__ void write(const panoptim_record& record, uint32_t column, uint64_t index, T x) {
    const uint64_t address = record.address[column];
    if constexpr (sizeof(T) == sizeof(float)) {
        if (record.dtype[column] == PANOPTIM_BFLOAT16) {
            ((unsigned short*)address)[index] = (unsigned short)to_bfloat16(x);
            return;
        }
        if (record.dtype[column] == PANOPTIM_FLOAT16) {
            ((unsigned short*)address)[index] = (unsigned short)to_float16(x);
            return;
        }
    }
    ((T*)address)[index] = x;
}

// A value as the rule sees it, whatever stands beside it.
template <class T>
__device__ T value_of(const panoptim_record& record, uint64_t index) {
    if constexpr (sizeof(T) == sizeof(float)) {
        const auto half = [&](int column) { return (uint32_t)((const unsigned short*)record.address[column])[index]; };
        if (record.address[PANOPTIM_MASTER] != 0 && record.dtype[PANOPTIM_MASTER] == PANOPTIM_INT16) {
            return joined(half(PANOPTIM_VALUE), half(PANOPTIM_MASTER));
        }
        if (record.address[PANOPTIM_COMPENSATION] != 0) {
            return read<T>(record, PANOPTIM_VALUE, index) + read<T>(record, PANOPTIM_COMPENSATION, index);
        }
    }
    return read<T>(record, column_of(record, PANOPTIM_VALUE), index);
}

template <class T, class Apply>
__device__ void map(const ColumnArguments& arguments, bool reads_target, bool reads_source, Apply apply) {
    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    if (record.address[arguments.target] == 0 || (reads_source && record.address[arguments.source] == 0)) return;
#pragma unroll 4
    for (uint32_t i = threadIdx.x; i < chunk.elements; i += PANOPTIM_THREADS) {
        const uint64_t index = chunk.start + i;
        const T t = reads_target ? read<T>(record, arguments.target, index) : T(0);
        const T s = reads_source ? read<T>(record, arguments.source, index) : T(0);
        write<T>(record, arguments.target, index, apply(t, s));
    }
}

template <class T, class Operation>
__device__ void map(const ColumnArguments& arguments) {
    const T a = (T)arguments.a, b = (T)arguments.b;
    map<T>(arguments, true, Operation::SOURCE, [=](T t, T s) { return Operation::apply(t, s, a, b); });
}

template <class T>
__device__ void map(const ColumnArguments& arguments) {
    switch (arguments.kind) {
        case PANOPTIM_MAP_ZERO: return map<T>(arguments, false, false, [](T, T) { return T(0); });
        case PANOPTIM_MAP_SCALE: return map<T, operation::Scale>(arguments);
        case PANOPTIM_MAP_CAST: return map<T>(arguments, false, true, [](T, T s) { return s; });
        case PANOPTIM_MAP_LERP: return map<T, operation::Lerp>(arguments);
        case PANOPTIM_MAP_AXPY: return map<T, operation::Axpy>(arguments);
        case PANOPTIM_MAP_CLAMP: return map<T, operation::Clamp>(arguments);
    }
}

constexpr int WARP = 32;

// A leaf's terms, brought together: that of element j goes to lane j % PANOPTIM_LANES, of which each thread has every WARP-th. The
// warp's first thread has the result.
template <class Term, class Join>
__device__ double over_leaf(uint32_t elements, Term term, Join join) {
    constexpr int OF_THREAD = PANOPTIM_LANES / WARP;
    const uint32_t thread = threadIdx.x % WARP;
    double lane[OF_THREAD] = {};
#pragma unroll 1
    for (uint32_t at = 0; at < elements; at += PANOPTIM_LANES) {
#pragma unroll
        for (int k = 0; k < OF_THREAD; k++) {
            const uint32_t i = at + k * WARP + thread;
            if (i < elements) lane[k] = join(lane[k], term(i));
        }
    }
#pragma unroll
    for (int half = OF_THREAD / 2; half > 0; half /= 2) {
#pragma unroll
        for (int k = 0; k < half; k++) lane[k] = join(lane[k], lane[k + half]);
    }
#pragma unroll
    for (int half = WARP / 2; half > 0; half /= 2) lane[0] = join(lane[0], __shfl_down_sync(~0u, lane[0], half));
    return lane[0];
}

template <class T, class Reduction>
__device__ double reduce_leaf(const panoptim_record& record, const ColumnArguments& arguments, uint64_t start, uint32_t elements) {
    const T factor = arguments.control ? (T)arguments.control->inverse_scale : (T)arguments.a;
    bool finite = true;
    const double reduced = over_leaf(elements, [&](uint32_t i) {
        const T x = read<T>(record, arguments.target, start + i);
        finite &= x - x == 0;
        const double left = (double)(x * factor);
        const double right = (double)(read<T>(record, arguments.source, start + i) * factor);
        return Reduction::term(left, right, arguments.b);
    }, [](double a, double b) { return Reduction::join(a, b); });
    if (!finite && arguments.nonfinite) *arguments.nonfinite = 1;
    return reduced;
}

template <class T, class Reduction>
__device__ void reduce(const ColumnArguments& arguments) {
    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    const bool has = record.address[arguments.target] != 0 && record.address[arguments.source] != 0;
    double* leaves = arguments.leaves + record.leaf + (chunk.start - record.begin) / PANOPTIM_LEAF;
    const uint32_t count = (chunk.elements + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF;
    for (uint32_t leaf = threadIdx.x / WARP; leaf < count; leaf += PANOPTIM_THREADS / WARP) {
        const uint32_t first = leaf * PANOPTIM_LEAF;
        const uint32_t elements = has ? (chunk.elements - first < PANOPTIM_LEAF ? chunk.elements - first : PANOPTIM_LEAF) : 0;
        const double reduced = reduce_leaf<T, Reduction>(record, arguments, chunk.start + first, elements);
        if (threadIdx.x % WARP == 0) leaves[leaf] = reduced;
    }
}

template <class T>
__device__ void reduce(const ColumnArguments& arguments) {
    switch (arguments.kind) {
        case PANOPTIM_REDUCE_DOT: return reduce<T, Dot>(arguments);
        case PANOPTIM_REDUCE_ABSOLUTE_SUM: return reduce<T, AbsoluteSum>(arguments);
        case PANOPTIM_REDUCE_ABSOLUTE_MAXIMUM: return reduce<T, AbsoluteMaximum>(arguments);
        case PANOPTIM_REDUCE_POWER: return reduce<T, AbsolutePower>(arguments);
    }
}

__device__ inline void largest(const ColumnArguments& arguments) {
    __shared__ double found[PANOPTIM_THREADS];
    double own = 0;
    for (uint64_t i = threadIdx.x; i < arguments.leaf_count; i += PANOPTIM_THREADS) own = AbsoluteMaximum::join(own, arguments.leaves[i]);
    found[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int i = 1; i < PANOPTIM_THREADS; i++) own = AbsoluteMaximum::join(own, found[i]);
    *arguments.result = own;
}

__device__ inline void add_up(const ColumnArguments& arguments) {
    const double total = block_sum<PANOPTIM_THREADS>(arguments.leaves, arguments.leaf_count, 1);
    if (threadIdx.x == 0) *arguments.result = total;
}

// What the statistics of a step take: squares of gradients, of changes of values, and of values. There is one pass before the step,
// and one after it.
struct StatisticArguments {
    const panoptim_record* records;
    const panoptim_chunk* chunks;     // one per block, of records with this kernel's compute type
    const panoptim_control* control;  // null where no extra needs it
    void* before;                     // each leaf's values as they were, in the compute type
    double* leaves;                   // PANOPTIM_STATISTIC_SUMS for each leaf
    int32_t* classes;                 // each leaf's; -1 where it takes no part
    double* sums;                     // the same for each class
    uint64_t leaf_count;
    uint32_t extras;
    uint32_t after;  // 1 in the second pass
};
static_assert(sizeof(StatisticArguments) == 72, "as Java writes them");

__device__ inline double plus(double a, double b) { return a + b; }

template <class T>
__device__ void statistics(const StatisticArguments& arguments) {
    if (skipped(arguments.extras, arguments.control)) return;
    const panoptim_chunk chunk = arguments.chunks[blockIdx.x];
    const panoptim_record& record = arguments.records[chunk.tensor];
    const Factors<T> factors = Factors<T>::of(arguments.extras, arguments.control);
    const uint64_t first = record.leaf + (chunk.start - record.begin) / PANOPTIM_LEAF;
    const uint32_t count = (chunk.elements + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF;
    for (uint32_t leaf = threadIdx.x / WARP; leaf < count; leaf += PANOPTIM_THREADS / WARP) {
        const uint32_t done = leaf * PANOPTIM_LEAF;
        const uint64_t start = chunk.start + done;
        const uint32_t rest = chunk.elements - done;
        const uint32_t elements = record.scalar_class < 0 ? 0 : rest < PANOPTIM_LEAF ? rest : PANOPTIM_LEAF;
        T* before = (T*)arguments.before + (first + leaf) * PANOPTIM_LEAF;
        double* sums = arguments.leaves + (first + leaf) * PANOPTIM_STATISTIC_SUMS;
        const bool writes = threadIdx.x % WARP == 0;
        if (!arguments.after) {
            const double gradients = over_leaf(elements, [&](uint32_t i) {
                before[i] = value_of<T>(record, start + i);
                const double g = (double)factors.scaled(read<T>(record, PANOPTIM_GRADIENT, start + i));
                return g * g;
            }, plus);
            if (writes) sums[0] = gradients;
            if (writes) arguments.classes[first + leaf] = record.scalar_class;
        } else {
            const double changes = over_leaf(elements, [&](uint32_t i) {
                const double change = (double)value_of<T>(record, start + i) - (double)before[i];
                return change * change;
            }, plus);
            const double values = over_leaf(elements, [&](uint32_t i) {
                const double p = (double)value_of<T>(record, start + i);
                return p * p;
            }, plus);
            if (writes) sums[1] = changes;
            if (writes) sums[2] = values;
        }
    }
}

// One block for each class, whose leaves may lie anywhere.
__device__ inline void finish_statistics(const StatisticArguments& arguments) {
    if (skipped(arguments.extras, arguments.control)) return;
    for (int sum = 0; sum < PANOPTIM_STATISTIC_SUMS; sum++) {
        const double total = block_sum<PANOPTIM_THREADS>([&](auto take) {
            for (uint64_t i = threadIdx.x; i < arguments.leaf_count; i += PANOPTIM_THREADS) {
                if (arguments.classes[i] == (int32_t)blockIdx.x) take(arguments.leaves[i * PANOPTIM_STATISTIC_SUMS + sum]);
            }
        });
        if (threadIdx.x == 0) arguments.sums[blockIdx.x * PANOPTIM_STATISTIC_SUMS + sum] = total;
    }
}

}  // namespace panoptim

// Two blocks on a multiprocessor at least, as the sums need the registers: left to itself, ptxas goes for more blocks, and spills.
#define PANOPTIM_KERNEL_OVER(Arguments, name, body)                                              \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, 2) panoptim_##name(           \
            const __grid_constant__ panoptim::Arguments arguments) {                             \
        body;                                                                                    \
    }
#define PANOPTIM_COLUMN_KERNEL(name, body) PANOPTIM_KERNEL_OVER(ColumnArguments, name, body)
#define PANOPTIM_STATISTIC_KERNEL(name, body) PANOPTIM_KERNEL_OVER(StatisticArguments, name, body)

PANOPTIM_COLUMN_KERNEL(map_float32, panoptim::map<float>(arguments))
PANOPTIM_COLUMN_KERNEL(map_float64, panoptim::map<double>(arguments))
PANOPTIM_COLUMN_KERNEL(reduce_float32, panoptim::reduce<float>(arguments))
PANOPTIM_COLUMN_KERNEL(reduce_float64, panoptim::reduce<double>(arguments))
PANOPTIM_COLUMN_KERNEL(finish_sum, panoptim::add_up(arguments))
PANOPTIM_COLUMN_KERNEL(finish_largest, panoptim::largest(arguments))
PANOPTIM_STATISTIC_KERNEL(statistics_float32, panoptim::statistics<float>(arguments))
PANOPTIM_STATISTIC_KERNEL(statistics_float64, panoptim::statistics<double>(arguments))
PANOPTIM_STATISTIC_KERNEL(finish_statistics, panoptim::finish_statistics(arguments))
