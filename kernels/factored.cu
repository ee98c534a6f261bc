// A step of tensors with factored second moments on CUDA: three passes over the blocks of matrices, one CUDA block for each, and after
// the first one another over the averages of matrices that several blocks have a part of. Who is the last one of a tensor, or of a
// matrix, adds up what all have found, in order. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "factored.h"
#include "storage.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// The only argument of these kernels.
struct FactoredArguments {
    panoptim_factored* tensors;
    const panoptim_factored_block* blocks;  // those of tensors with this kernel's compute type, or rows or columns of such a matrix
    double* partials;  // of each tensor that needs them: row sums, column sums, and sums of the rows' averages in each block
    double* sums;      // one for each block
    double* means;     // of each matrix's row averages
    uint32_t* tickets; // zeros, one for each tensor and then one for each matrix
    uint64_t first_block;  // of these among all blocks
    uint64_t tensor_count;
};
static_assert(sizeof(FactoredArguments) == 64, "as Java writes them");

constexpr uint32_t FACTORED_LANES = PANOPTIM_FACTORED_LANES, PIECE = PANOPTIM_FACTORED_PIECE, PIECES = PANOPTIM_FACTORED_PIECES;
constexpr uint32_t WARP = 32;
// Pieces that a block's threads add up at a time, and those of a warp.
constexpr uint32_t AT_A_TIME = PANOPTIM_THREADS / FACTORED_LANES, OF_WARP = WARP / FACTORED_LANES;
static_assert(PIECE == 2 * PANOPTIM_THREADS, "each thread has two columns of a piece");

__device__ inline uint32_t smaller(uint64_t a, uint64_t b) { return (uint32_t)(a < b ? a : b); }
__device__ inline uint64_t parts(uint64_t size, uint64_t part) { return (size + part - 1) / part; }

template <class T>
__device__ T* at(uint64_t address, uint64_t index) {
    return (T*)address + index;
}

// A block of a tensor. Its rows are counted through all of its matrices.
struct Part {
    panoptim_factored& tensor;
    const panoptim_factored_block block;
    const uint32_t rows, columns, pieces;  // pieces of each row
    const uint64_t first_row, stride;      // among the tensor's, and from row to row

    __device__ Part(const FactoredArguments& arguments, const panoptim_factored_block& block)
        : tensor(arguments.tensors[block.tensor]), block(block), rows((uint32_t)(block.matrices * block.rows)),
          columns((uint32_t)block.columns), pieces((uint32_t)parts(block.columns, PIECE)),
          first_row(block.matrix * tensor.rows + block.row), stride(tensor.columns) {}

    __device__ bool factored() const { return tensor.row_average != 0; }
    // Whether each matrix lies within one block.
    __device__ bool whole() const { return tensor.rows <= PANOPTIM_FACTORED_ROWS && tensor.columns <= PANOPTIM_FACTORED_COLUMNS; }

    __device__ uint64_t matrix(uint32_t row) const { return block.matrix + (block.matrices == 1 ? 0 : row / (uint32_t)block.rows); }
    __device__ uint64_t element(uint32_t row, uint32_t column) const { return (first_row + row) * stride + block.column + column; }
    // Of the averages over columns, and their factors.
    __device__ uint64_t column(uint64_t matrix, uint32_t column) const { return matrix * stride + block.column + column; }
};

// Adds the upper half of the lanes to the lower, until one is left: the first one has the result.
__device__ inline double join_lanes(double lane) {
#pragma unroll
    for (int half = FACTORED_LANES / 2; half > 0; half /= 2) lane += __shfl_down_sync(~0u, lane, half);
    return lane;
}

// Calls something, in whole warps, with each thread's lane and the number of each piece that it is in, from 0 on; with that of the
// next one after the last where there is nothing left for half of a warp.
template <class Body>
__device__ void each_piece(uint32_t count, Body body) {
    const uint32_t lane = threadIdx.x % FACTORED_LANES, of_warp = threadIdx.x % WARP / FACTORED_LANES;
    for (uint32_t first = threadIdx.x / WARP * OF_WARP; first < count; first += AT_A_TIME) {
        const uint32_t piece = first + of_warp;
        body(piece < count ? piece : count, lane);
    }
}

// Elements of a column, all at once: 0 where there is none.
template <class T, uint32_t COUNT>
__device__ void load(uint64_t address, uint32_t dtype, const uint64_t (&index)[COUNT], const bool (&there)[COUNT], T (&x)[COUNT]) {
    with_storage<T>(dtype, [&](auto type) {
        const auto* from = (const typename decltype(type)::Storage*)address;
#pragma unroll
        for (uint32_t k = 0; k < COUNT; k++) x[k] = there[k] ? type.load(from[index[k]]) : T(0);
    });
}

// The squares of what a function makes of each element, by its row and column, added up piece by piece; of 0 it makes 0.
template <class T, class Term>
__device__ void sum_pieces(const Part& part, uint64_t address, uint32_t dtype, double* sums, Term term) {
    constexpr uint32_t BATCH = 8;  // so many loads are under way
    const uint32_t count = part.rows * part.pieces;
    each_piece(count, [&](uint32_t piece, uint32_t lane) {
        const uint32_t row = piece / part.pieces, first = piece % part.pieces * PIECE;
        const uint32_t end = piece < count ? smaller(first + PIECE, part.columns) : 0;
        double sum = 0;
#pragma unroll 1
        for (uint32_t begin = first + lane; begin < end; begin += BATCH * FACTORED_LANES) {
            uint64_t index[BATCH];
            bool there[BATCH];
            T x[BATCH];
#pragma unroll
            for (uint32_t k = 0; k < BATCH; k++) {
                there[k] = begin + k * FACTORED_LANES < end;
                index[k] = part.element(row, begin + k * FACTORED_LANES);
            }
            load(address, dtype, index, there, x);
#pragma unroll
            for (uint32_t k = 0; k < BATCH; k++) {
                const double term_k = (double)(there[k] ? term(row, begin + k * FACTORED_LANES, x[k]) : T(0));
                sum += term_k * term_k;
            }
        }
        __syncwarp();
        sum = join_lanes(sum);
        if (lane == 0 && piece < count) sums[piece] = sum;
    });
}

// The first thread has the sum of numbers that all can see, in order.
__device__ inline double in_order(const double* numbers, uint32_t count) {
    double sum = 0;
    if (threadIdx.x == 0) {
#pragma unroll 8
        for (uint32_t i = 0; i < count; i++) sum += numbers[i];
    }
    return sum;
}

// The same of any number of them, which others have written, by way of memory that the block shares.
__device__ inline double in_order(const double* numbers, uint64_t count, double (&shared)[PIECES]) {
    double sum = 0;
    for (uint64_t done = 0; done < count; done += PIECES) {
        const uint32_t some = smaller(PIECES, count - done);
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < some; i += PANOPTIM_THREADS) shared[i] = ((const volatile double*)numbers)[done + i];
        __syncthreads();
        if (threadIdx.x == 0) {
#pragma unroll 8
            for (uint32_t i = 0; i < some; i++) sum += shared[i];
        }
    }
    return sum;
}

// Whether all other blocks that draw a ticket have been here: what they have written can be seen. The ticket is as new then.
__device__ inline bool is_last(uint32_t* ticket, uint64_t blocks) {
    __shared__ uint32_t drawn;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) drawn = atomicInc(ticket, (uint32_t)(blocks - 1));
    __syncthreads();
    if (drawn != blocks - 1) return false;
    __threadfence();
    return true;
}

// The last block of a tensor does something with the sum over all blocks.
template <class Finish>
__device__ void finish_tensor(const FactoredArguments& arguments, const Part& part, double (&shared)[PIECES], Finish finish) {
    panoptim_factored& tensor = part.tensor;
    if (!is_last(arguments.tickets + part.block.tensor, tensor.blocks)) return;
    const double sum = in_order(arguments.sums + tensor.first_block, tensor.blocks, shared);
    if (threadIdx.x == 0) finish(tensor, sum, (double)(tensor.batch * tensor.rows * tensor.columns));
}

template <class T>
__device__ void average_column(const panoptim_factored& tensor, uint64_t column, double squares) {
    const T average = Factored::averaged(tensor, *at<T>(tensor.column_average, column), squares / (double)tensor.rows);
    *at<T>(tensor.column_average, column) = average;
    *at<T>(tensor.column_factors, column) = Factored::column_factor(average);
}

template <class T>
__device__ double average_row(const panoptim_factored& tensor, uint64_t row, double squares) {
    const T average = Factored::averaged(tensor, *at<T>(tensor.row_average, row), squares / (double)tensor.columns);
    *at<T>(tensor.row_average, row) = average;
    return (double)average;
}

// The sums of the gradients' squares over the rows, and over the columns, of a block's matrices: a piece of one, or of several small
// ones, at a time, and of it some rows. Each thread goes down two columns; then the lanes of each piece go along the rows.
template <class T>
__device__ void sum_gradients(const FactoredArguments& arguments, const Part& part, double (&row_sums)[PIECES]) {
    constexpr uint32_t TILE = 8;
    __shared__ double squares[TILE][PIECE];
    const panoptim_factored& tensor = part.tensor;
    const panoptim_factored_block& block = part.block;
    const uint32_t rows = (uint32_t)block.rows, matrices = (uint32_t)block.matrices;
    const uint32_t most = part.pieces > 1 ? 1 : PIECE / part.columns;
    for (uint32_t matrix = 0; matrix < matrices; matrix += most) {
        const uint32_t together = smaller(most, matrices - matrix);
        for (uint32_t piece = 0; piece < part.pieces; piece++) {
            const uint32_t width = smaller(PIECE, part.columns - piece * PIECE), count = together * width;
            double sum[2] = {};
            uint32_t own[2], column[2];  // matrix and column in it
#pragma unroll
            for (uint32_t k = 0; k < 2; k++) {
                const uint32_t number = threadIdx.x + k * PANOPTIM_THREADS;
                own[k] = matrix + number / width;
                column[k] = piece * PIECE + number % width;
            }
#pragma unroll 1
            for (uint32_t first = 0; first < rows; first += TILE) {
                const uint32_t tall = smaller(TILE, rows - first);
                uint64_t index[2 * TILE];
                bool there[2 * TILE];
                T g[2 * TILE];
#pragma unroll
                for (uint32_t i = 0; i < 2 * TILE; i++) {
                    there[i] = i / 2 < tall && threadIdx.x + i % 2 * PANOPTIM_THREADS < count;
                    index[i] = part.element(own[i % 2] * rows + first + i / 2, column[i % 2]);
                }
                load(tensor.gradient, tensor.gradient_dtype, index, there, g);
#pragma unroll
                for (uint32_t i = 0; i < 2 * TILE; i++) {
                    const double square = (double)g[i] * (double)g[i];
                    sum[i % 2] += square;
                    squares[i / 2][threadIdx.x + i % 2 * PANOPTIM_THREADS] = square;
                }
                __syncthreads();
                each_piece(together * tall, [&](uint32_t number, uint32_t lane) {
                    const bool there = number < together * tall;
                    const uint32_t of = number / tall, row = there ? number % tall : 0;
                    double of_lane = 0;
#pragma unroll 8
                    for (uint32_t j = lane; j < (there ? width : 0); j += FACTORED_LANES) of_lane += squares[row][of * width + j];
                    __syncwarp();
                    of_lane = join_lanes(of_lane);
                    double& to = row_sums[there ? (matrix + of) * rows + first + row : 0];
                    if (lane == 0 && there) to = piece == 0 ? of_lane : to + of_lane;
                });
                __syncthreads();
            }
#pragma unroll
            for (uint32_t k = 0; k < 2; k++) {
                if (threadIdx.x + k * PANOPTIM_THREADS >= count) continue;
                const uint64_t of = block.matrix + own[k];
                if (part.whole()) {
                    average_column<T>(tensor, part.column(of, column[k]), sum[k]);
                } else {
                    const uint64_t blocks = parts(tensor.rows, PANOPTIM_FACTORED_ROWS);
                    const uint64_t index = (of * blocks + block.row / PANOPTIM_FACTORED_ROWS) * tensor.columns + block.column + column[k];
                    arguments.partials[tensor.column_partials + index] = sum[k];
                }
            }
        }
    }
}

// What is known of the rows when the sums over them are: of matrices that lie within a block their averages, and the means of these.
template <class T>
__device__ void finish_rows(const FactoredArguments& arguments, const Part& part, double (&row_sums)[PIECES]) {
    const panoptim_factored& tensor = part.tensor;
    const panoptim_factored_block& block = part.block;
    if (!part.whole()) {
        const uint64_t blocks = parts(tensor.columns, PANOPTIM_FACTORED_COLUMNS), own = block.column / PANOPTIM_FACTORED_COLUMNS;
        for (uint32_t row = threadIdx.x; row < part.rows; row += PANOPTIM_THREADS) {
            arguments.partials[tensor.row_partials + (part.first_row + row) * blocks + own] = row_sums[row];
        }
        return;
    }
    for (uint32_t row = threadIdx.x; row < part.rows; row += PANOPTIM_THREADS) {
        row_sums[row] = average_row<T>(tensor, part.first_row + row, row_sums[row]);
    }
    __syncthreads();
    const uint32_t rows = (uint32_t)block.rows;
    for (uint32_t matrix = threadIdx.x; matrix < block.matrices; matrix += PANOPTIM_THREADS) {
        double sum = 0;
        for (uint32_t i = 0; i < rows; i++) sum += row_sums[matrix * rows + i];
        arguments.means[tensor.first_matrix + block.matrix + matrix] = sum / (double)rows;
    }
}

template <class T>
__device__ void take_sums(const FactoredArguments& arguments) {
    __shared__ double shared[PIECES];
    __shared__ double row_sums[PIECES];
    const Part part(arguments, arguments.blocks[blockIdx.x]);
    sum_pieces<T>(part, part.tensor.value, part.tensor.value_dtype, shared, [](uint32_t, uint32_t, T p) { return p; });
    __syncthreads();
    const double value_sq = in_order(shared, part.rows * part.pieces);
    if (threadIdx.x == 0) arguments.sums[arguments.first_block + blockIdx.x] = value_sq;
    if (part.factored()) {
        sum_gradients<T>(arguments, part, row_sums);
        finish_rows<T>(arguments, part, row_sums);
    }
    finish_tensor(arguments, part, shared, Factored::scale);
}

// Of a matrix of several blocks: some rows, or some columns.
template <class T>
__device__ void finish_matrix(const FactoredArguments& arguments) {
    constexpr uint32_t BATCH = 16;
    __shared__ double shared[PIECES];
    const panoptim_factored_block& block = arguments.blocks[blockIdx.x];
    const panoptim_factored& tensor = arguments.tensors[block.tensor];
    const uint64_t row_blocks = parts(tensor.rows, PANOPTIM_FACTORED_ROWS);
    double* const column_sums = arguments.partials + tensor.column_partials + block.matrix * row_blocks * tensor.columns;
    if (block.rows == 0) {
        if (threadIdx.x >= block.columns) return;
        const uint64_t column = block.column + threadIdx.x;
        double sum = 0;
#pragma unroll 1
        for (uint64_t done = 0; done < row_blocks; done += BATCH) {
            double some[BATCH];
#pragma unroll
            for (uint32_t k = 0; k < BATCH; k++) some[k] = done + k < row_blocks ? column_sums[(done + k) * tensor.columns + column] : 0;
#pragma unroll
            for (uint32_t k = 0; k < BATCH; k++) sum += some[k];
        }
        average_column<T>(tensor, block.matrix * tensor.columns + column, sum);
        return;
    }
    const uint64_t column_blocks = parts(tensor.columns, PANOPTIM_FACTORED_COLUMNS);
    if (threadIdx.x < block.rows) {
        const uint64_t row = block.matrix * tensor.rows + block.row + threadIdx.x;
        const double* row_sums = arguments.partials + tensor.row_partials + row * column_blocks;
        double squares = 0;
        for (uint64_t i = 0; i < column_blocks; i++) squares += row_sums[i];
        shared[threadIdx.x] = average_row<T>(tensor, row, squares);
    }
    __syncthreads();
    double* const of_blocks = arguments.partials + tensor.column_partials + tensor.batch * row_blocks * tensor.columns + block.matrix * row_blocks;
    const uint32_t first = threadIdx.x * PANOPTIM_FACTORED_ROWS;
    if (first < block.rows) {
        const uint32_t count = smaller(PANOPTIM_FACTORED_ROWS, block.rows - first);
        double sum = 0;
        for (uint32_t i = 0; i < count; i++) sum += shared[first + i];
        of_blocks[block.row / PANOPTIM_FACTORED_ROWS + threadIdx.x] = sum;
    }
    const uint64_t matrix = tensor.first_matrix + block.matrix;
    if (!is_last(arguments.tickets + arguments.tensor_count + matrix, parts(tensor.rows, PANOPTIM_THREADS))) return;
    const double sum = in_order(of_blocks, row_blocks, shared);
    if (threadIdx.x == 0) arguments.means[matrix] = sum / (double)tensor.rows;
}

// The factors of a block's rows, for all of its threads.
template <class T>
__device__ void find_row_factors(const FactoredArguments& arguments, const Part& part, T (&factors)[PIECES]) {
    const panoptim_factored& tensor = part.tensor;
    for (uint32_t row = threadIdx.x; row < part.rows; row += PANOPTIM_THREADS) {
        factors[row] = part.factored() ? Factored::row_factor(tensor, *at<T>(tensor.row_average, part.first_row + row),
                                                               arguments.means[tensor.first_matrix + part.matrix(row)]) : T(1);
    }
    __syncthreads();
}

// The averages and factors of what is not factored.
template <class T>
__device__ void average_elements(const Part& part) {
    const panoptim_factored& tensor = part.tensor;
    const T square_eps = (T)tensor.square_eps, weight = (T)tensor.average_weight;
#pragma unroll 1
    for (uint32_t i = threadIdx.x; i < part.columns; i += PANOPTIM_THREADS) {
        const uint64_t index[1] = {part.element(0, i)};
        const bool there[1] = {true};
        T g[1];
        load(tensor.gradient, tensor.gradient_dtype, index, there, g);
        const T average = Factored::averaged_element(*at<T>(tensor.column_average, index[0]), g[0], square_eps, weight);
        *at<T>(tensor.column_average, index[0]) = average;
        *at<T>(tensor.column_factors, index[0]) = Factored::column_factor(average);
    }
    __syncthreads();
}

template <class T>
__device__ void measure_updates(const FactoredArguments& arguments) {
    __shared__ double shared[PIECES];
    __shared__ T factors[PIECES];
    const Part part(arguments, arguments.blocks[blockIdx.x]);
    panoptim_factored& tensor = part.tensor;
    find_row_factors(arguments, part, factors);
    if (!part.factored()) average_elements<T>(part);
    const T limit = (T)tensor.factor_limit;
    sum_pieces<T>(part, tensor.gradient, tensor.gradient_dtype, shared, [&](uint32_t row, uint32_t column, T g) {
        return Factored::update(g, factors[row], *at<T>(tensor.column_factors, part.column(part.matrix(row), column)), limit);
    });
    __syncthreads();
    const double update_sq = in_order(shared, part.rows * part.pieces);
    if (threadIdx.x == 0) arguments.sums[arguments.first_block + blockIdx.x] = update_sq;
    finish_tensor(arguments, part, shared, Factored::clip);
}

// Each thread has every so many columns of every so many rows, as wide as the block is.
template <class T>
__device__ void apply_updates(const FactoredArguments& arguments) {
    constexpr uint32_t BATCH = 4;
    __shared__ T factors[PIECES];
    const Part part(arguments, arguments.blocks[blockIdx.x]);
    find_row_factors(arguments, part, factors);
    const panoptim_factored& tensor = part.tensor;
    uint32_t width = PANOPTIM_THREADS;
    while (width / 2 >= part.columns) width /= 2;
    const uint32_t left = threadIdx.x % width, down = PANOPTIM_THREADS / width;
    const uint32_t across = (part.columns + width - 1) / width * width;
    const T limit = (T)tensor.factor_limit, step_size = (T)tensor.step_size, keep = (T)tensor.keep;
    const T momentum = (T)tensor.momentum, weight = (T)(1 - tensor.momentum);
    T* const averages = at<T>(tensor.average, 0);
    uint32_t row = threadIdx.x / width, column = left;
#pragma unroll 1
    while (row < part.rows) {
        T p[BATCH], g[BATCH], of_row[BATCH], of_column[BATCH], average[BATCH];
        uint64_t index[BATCH];
        bool there[BATCH];
#pragma unroll
        for (uint32_t k = 0; k < BATCH; k++) {
            there[k] = row < part.rows && column < part.columns;
            index[k] = part.element(row, column);
            of_row[k] = there[k] ? factors[row] : T(0);
            of_column[k] = there[k] ? *at<T>(tensor.column_factors, part.column(part.matrix(row), column)) : T(0);
            average[k] = there[k] && averages ? averages[index[k]] : T(0);
            column += width;
            if (column >= across) {
                column = left;
                row += down;
            }
        }
        load(tensor.gradient, tensor.gradient_dtype, index, there, g);
        load(tensor.value, tensor.value_dtype, index, there, p);
#pragma unroll
        for (uint32_t k = 0; k < BATCH; k++) {
            const T update = Factored::update(g[k], of_row[k], of_column[k], limit);
            const T step = Factored::averaged_step(average[k], update, -step_size, momentum, weight);
            if (averages && there[k]) averages[index[k]] = step;
            p[k] = Factored::step(p[k], averages ? step : update, averages ? T(-1) : step_size, keep);
        }
        with_storage<T>(tensor.value_dtype, [&](auto type) {
            auto* to = (typename decltype(type)::Storage*)tensor.value;
#pragma unroll
            for (uint32_t k = 0; k < BATCH; k++) {
                if (there[k]) to[index[k]] = type.store(p[k]);
            }
        });
    }
}

}  // namespace panoptim

// So many blocks on a multiprocessor leave each what registers it needs.
#define PANOPTIM_FACTORED_KERNEL(name, body, blocks)                                                     \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS, blocks) panoptim_factored_##name(     \
            const __grid_constant__ panoptim::FactoredArguments arguments) {                             \
        body(arguments);                                                                                 \
    }
#define PANOPTIM_FACTORED_KERNELS(dtype, T, blocks)                                                      \
    PANOPTIM_FACTORED_KERNEL(sums_##dtype, panoptim::take_sums<T>, 2)                                    \
    PANOPTIM_FACTORED_KERNEL(matrices_##dtype, panoptim::finish_matrix<T>, blocks)                       \
    PANOPTIM_FACTORED_KERNEL(measure_##dtype, panoptim::measure_updates<T>, blocks)                      \
    PANOPTIM_FACTORED_KERNEL(apply_##dtype, panoptim::apply_updates<T>, blocks)

PANOPTIM_FACTORED_KERNELS(float32, float, 3)
PANOPTIM_FACTORED_KERNELS(float64, double, 2)
