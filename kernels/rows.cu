// What comes before a step over some rows of tensors on CUDA: each row that is stepped becomes a record of its own, whose gradient is
// the sum of what its indices have, in the order of the indices; then step.cu's kernels step these. Compiled by nvcc and NVRTC.
#include "nvrtc.h"

#include "half.h"
#include "table.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// A row to be stepped, and where the indices of its gradient stand in the list of places.
struct RowItem {
    uint64_t row;
    uint64_t first;
    uint64_t count;   // of places; none for a row that moves without a gradient
};

// The only argument of these kernels.
struct RowArguments {
    const panoptim_record* record;  // of the tensor
    panoptim_record* records;       // to be written, one per item
    panoptim_chunk* chunks;         // to be written: of each item all pieces
    const RowItem* items;           // one per block
    const uint64_t* places;         // in the given gradient, each row's in order
    const void* values;             // places x columns
    void* gradients;                // to be written in the compute type, items x columns
    uint64_t columns;
    uint32_t piece;                 // elements in a chunk, at most
    uint32_t pieces;                // chunks for each row
    int32_t scalar_class;
    uint32_t dtype;                 // of the values
    uint32_t negated;
    uint32_t reserved;
};
static_assert(sizeof(RowArguments) == 88, "as Java writes them");

__device__ inline uint64_t size_of(uint32_t dtype) {
    return dtype == PANOPTIM_FLOAT64 ? 8 : dtype == PANOPTIM_FLOAT32 ? 4 : 2;
}

template <class T>
__device__ T value_at(const RowArguments& arguments, uint64_t index) {
    if constexpr (sizeof(T) == sizeof(float)) {
        if (arguments.dtype == PANOPTIM_BFLOAT16) return from_bfloat16(((const unsigned short*)arguments.values)[index]);
        if (arguments.dtype == PANOPTIM_FLOAT16) return from_float16(((const unsigned short*)arguments.values)[index]);
    }
    return ((const T*)arguments.values)[index];
}

template <class T>
__device__ void prepare_rows(const RowArguments& arguments) {
    const RowItem item = arguments.items[blockIdx.x];
    const uint64_t columns = arguments.columns;
    T* gradient = (T*)arguments.gradients + blockIdx.x * columns;
    const T sign = arguments.negated ? T(-1) : T(1);
    for (uint64_t i = threadIdx.x; i < columns; i += PANOPTIM_THREADS) {
        T sum = 0;
        for (uint64_t k = 0; k < item.count; k++) {
            const T x = sign * value_at<T>(arguments, arguments.places[item.first + k] * columns + i);
            sum = k == 0 ? x : sum + x;
        }
        gradient[i] = sum;
    }
    for (uint32_t i = threadIdx.x; i < arguments.pieces; i += PANOPTIM_THREADS) {
        const uint64_t start = (uint64_t)i * arguments.piece;
        const uint64_t rest = columns - start;
        const uint32_t elements = (uint32_t)(rest < arguments.piece ? rest : arguments.piece);
        arguments.chunks[blockIdx.x * arguments.pieces + i] = {blockIdx.x, elements, start};
    }
    if (threadIdx.x != 0) return;
    panoptim_record record = *arguments.record;
    for (int column = 0; column < PANOPTIM_STATE + record.slots; column++) {
        record.address[column] += item.row * columns * size_of(record.dtype[column]);
    }
    record.address[PANOPTIM_GRADIENT] = (uint64_t)gradient;
    record.dtype[PANOPTIM_GRADIENT] = sizeof(T) == sizeof(double) ? PANOPTIM_FLOAT64 : PANOPTIM_FLOAT32;
    record.scalar_class = arguments.scalar_class;
    record.begin = 0;
    record.end = record.elements = record.columns = columns;
    record.rows = 1;
    arguments.records[blockIdx.x] = record;
}

}  // namespace panoptim

extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS)
panoptim_rows_float32(const __grid_constant__ panoptim::RowArguments arguments) { panoptim::prepare_rows<float>(arguments); }

extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS)
panoptim_rows_float64(const __grid_constant__ panoptim::RowArguments arguments) { panoptim::prepare_rows<double>(arguments); }
