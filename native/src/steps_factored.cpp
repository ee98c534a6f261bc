#include "steps_factored.h"

#include <algorithm>

#include "convert.h"
#include "error.h"
#include "factored.h"
#include "floating_point.h"
#include "pool.h"

namespace panoptim {

static constexpr uint64_t ROWS = PANOPTIM_FACTORED_ROWS;
static constexpr uint64_t COLUMNS = PANOPTIM_FACTORED_COLUMNS;
static constexpr uint64_t PIECE = PANOPTIM_FACTORED_PIECE;
static constexpr uint64_t LANES = PANOPTIM_FACTORED_LANES;
static_assert(PIECE <= BLOCK, "a piece is converted at once");
static_assert(PANOPTIM_FACTORED_PIECES * PIECE == ROWS * COLUMNS, "those of the largest block");

// ---- Loops over a piece of a row; plain names, so that a test finds each in the object code.

// The upper half of the lanes joins the lower, until one is left. Those that have got nothing are left out.
static PANOPTIM_INLINE double join(double* lanes, uint64_t elements) {
    uint64_t half = LANES / 2;
    while (half >= elements && half > 0) half /= 2;
    for (; half > 0; half /= 2) {
        for (uint64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

// Squares, to their lanes and to their columns.
template <class T>
static PANOPTIM_INLINE void add_squares(uint64_t count, const T* __restrict x, double* __restrict lanes, double* __restrict columns) {
#pragma omp simd
    for (uint64_t i = 0; i < count; ++i) {
        const double square = double(x[i]) * double(x[i]);
        lanes[i] += square;
        columns[i] += square;
    }
}

template <class T>
static PANOPTIM_INLINE double square_columns(uint64_t elements, const T* x, double* columns) {
    alignas(64) double lanes[LANES] = {};
    uint64_t done = 0;
    for (; elements - done >= LANES; done += LANES) add_squares(LANES, x + done, lanes, columns + done);
    add_squares(elements - done, x + done, lanes, columns + done);
    return join(lanes, elements);
}

template <class T>
static PANOPTIM_INLINE void add_row(uint64_t count, const T* __restrict x, double* __restrict lanes) {
#pragma omp simd
    for (uint64_t i = 0; i < count; ++i) lanes[i] += double(x[i]) * double(x[i]);
}

template <class T>
static PANOPTIM_INLINE double square_row(uint64_t elements, const T* x) {
    alignas(64) double lanes[LANES] = {};
    uint64_t done = 0;
    for (; elements - done >= LANES; done += LANES) add_row(LANES, x + done, lanes);
    add_row(elements - done, x + done, lanes);
    return join(lanes, elements);
}

template <class T>
static PANOPTIM_INLINE void updates(uint64_t elements, T row, T limit, const T* __restrict g, const T* __restrict columns,
                                    T* __restrict out) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) out[i] = Factored::update(g[i], row, columns[i], limit);
}

template <class T>
static PANOPTIM_INLINE void averages(uint64_t elements, T square_eps, T weight, const T* __restrict g, T* __restrict average) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) average[i] = Factored::averaged_element(average[i], g[i], square_eps, weight);
}

template <class T>
static PANOPTIM_INLINE void column_factors(uint64_t elements, const T* __restrict average, T* __restrict out) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) out[i] = Factored::column_factor(average[i]);
}

template <class T>
static PANOPTIM_INLINE void apply(uint64_t elements, T step_size, T keep, const T* __restrict update, T* __restrict p) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) p[i] = Factored::step(p[i], update[i], step_size, keep);
}

template <class T>
static PANOPTIM_INLINE void average_steps(uint64_t elements, T step_size, T momentum, T weight, T* __restrict average,
                                          T* __restrict update) {
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) {
        average[i] = Factored::averaged_step(average[i], update[i], step_size, momentum, weight);
        update[i] = average[i];
    }
}

#define LOOPS(dtype, T)                                                                                                      \
    extern "C" double panoptim_factored_columns_##dtype(uint64_t n, const T* x, double* columns) {                          \
        return square_columns<T>(n, x, columns);                                                                            \
    }                                                                                                                       \
    extern "C" double panoptim_factored_row_##dtype(uint64_t n, const T* x) { return square_row<T>(n, x); }                 \
    extern "C" void panoptim_factored_updates_##dtype(uint64_t n, T row, T limit, const T* g, const T* columns, T* out) {   \
        updates<T>(n, row, limit, g, columns, out);                                                                         \
    }                                                                                                                       \
    extern "C" void panoptim_factored_averages_##dtype(uint64_t n, T square_eps, T weight, const T* g, T* average) {        \
        averages<T>(n, square_eps, weight, g, average);                                                                     \
    }                                                                                                                       \
    extern "C" void panoptim_factored_factors_##dtype(uint64_t n, const T* average, T* out) {                               \
        column_factors<T>(n, average, out);                                                                                 \
    }                                                                                                                       \
    extern "C" void panoptim_factored_apply_##dtype(uint64_t n, T step_size, T keep, const T* update, T* p) {               \
        apply<T>(n, step_size, keep, update, p);                                                                            \
    }                                                                                                                       \
    extern "C" void panoptim_factored_steps_##dtype(uint64_t n, T step_size, T momentum, T weight, T* average, T* update) { \
        average_steps<T>(n, step_size, momentum, weight, average, update);                                                  \
    }

LOOPS(float32, float)
LOOPS(float64, double)

template <class T>
struct Loops;

#define CHOOSE(dtype, T)                                                      \
    template <>                                                               \
    struct Loops<T> {                                                         \
        static constexpr auto columns = panoptim_factored_columns_##dtype;    \
        static constexpr auto row = panoptim_factored_row_##dtype;            \
        static constexpr auto updates = panoptim_factored_updates_##dtype;    \
        static constexpr auto averages = panoptim_factored_averages_##dtype;  \
        static constexpr auto factors = panoptim_factored_factors_##dtype;    \
        static constexpr auto apply = panoptim_factored_apply_##dtype;        \
        static constexpr auto steps = panoptim_factored_steps_##dtype;        \
    };

CHOOSE(float32, float)
CHOOSE(float64, double)

// ---- One matrix of a tensor

static uint64_t parts(uint64_t size, uint64_t part) { return (size + part - 1) / part; }

template <class T>
struct Matrix {
    panoptim_factored& tensor;
    uint64_t matrix;

    template <class U>
    static U* at(uint64_t address, uint64_t index) { return reinterpret_cast<U*>(address) + index; }

    uint64_t element(uint64_t row, uint64_t column) const { return (matrix * tensor.rows + row) * tensor.columns + column; }

    char* value(uint64_t index) const { return at<char>(tensor.value, index * bytes_of(tensor.value_dtype)); }
    char* gradient(uint64_t index) const { return at<char>(tensor.gradient, index * bytes_of(tensor.gradient_dtype)); }

    T* row_average() const { return at<T>(tensor.row_average, matrix * tensor.rows); }
    T* column_average() const { return at<T>(tensor.column_average, matrix * tensor.columns); }
    T* row_factors() const { return at<T>(tensor.row_factors, matrix * tensor.rows); }
    T* column_factors() const { return at<T>(tensor.column_factors, matrix * tensor.columns); }

    uint64_t column_blocks() const { return parts(tensor.columns, COLUMNS); }
    uint64_t row_blocks() const { return parts(tensor.rows, ROWS); }

    // The averages and factors, when all sums are there: those over the rows of each block, and over the columns.
    void finish(const double* row_sums, double* column_sums) const {
        T* rows = row_average();
        double sum = 0;
        for (uint64_t first = 0; first < tensor.rows; first += ROWS) {
            double of_block = 0;
            for (uint64_t i = first; i < std::min(first + ROWS, tensor.rows); ++i) {
                double squares = 0;
                for (uint64_t block = 0; block < column_blocks(); ++block) squares += row_sums[i * column_blocks() + block];
                rows[i] = Factored::averaged(tensor, rows[i], squares / double(tensor.columns));
                of_block += double(rows[i]);
            }
            sum += of_block;
        }
        const double mean = sum / double(tensor.rows);
        for (uint64_t i = 0; i < tensor.rows; ++i) row_factors()[i] = Factored::row_factor(tensor, rows[i], mean);
        for (uint64_t block = 1; block < row_blocks(); ++block) {
            for (uint64_t j = 0; j < tensor.columns; ++j) column_sums[j] += column_sums[block * tensor.columns + j];
        }
        T* columns = column_average();
        for (uint64_t j = 0; j < tensor.columns; ++j) {
            columns[j] = Factored::averaged(tensor, columns[j], column_sums[j] / double(tensor.rows));
        }
        Loops<T>::factors(tensor.columns, columns, column_factors());
    }
};

// ---- The passes over blocks

struct Pass {
    const panoptim_factored_step& step;
    void (*body)(const Pass& pass, const panoptim_factored_block& block, uint64_t index);
};

// Some columns of a row, and the tensor's element that they begin with.
struct Piece {
    uint64_t row, column, columns, element;
};

static bool factored(const panoptim_factored& tensor) { return tensor.row_average != 0; }

// Whether each matrix lies within one block.
static bool whole(const panoptim_factored& tensor) { return tensor.rows <= ROWS && tensor.columns <= COLUMNS; }

template <class T, class Body>
static void each_piece(panoptim_factored& tensor, const panoptim_factored_block& block, Body body) {
    for (uint64_t m = block.matrix; m < block.matrix + block.matrices; ++m) {
        const Matrix<T> matrix{tensor, m};
        for (uint64_t i = block.row; i < block.row + block.rows; ++i) {
            for (uint64_t done = 0; done < block.columns; done += PIECE) {
                body(matrix, Piece{i, block.column + done, std::min(PIECE, block.columns - done), matrix.element(i, block.column + done)});
            }
        }
    }
}

static double* row_sums(const Pass& pass, const panoptim_factored& tensor, uint64_t matrix) {
    return pass.step.partials + tensor.row_partials + matrix * tensor.rows * parts(tensor.columns, COLUMNS);
}
static double* column_sums(const Pass& pass, const panoptim_factored& tensor, uint64_t matrix) {
    return pass.step.partials + tensor.column_partials + matrix * parts(tensor.rows, ROWS) * tensor.columns;
}

template <class T>
static void take_sums(const Pass& pass, const panoptim_factored_block& block, uint64_t index) {
    panoptim_factored& tensor = pass.step.tensors[block.tensor];
    alignas(64) T buffer[PIECE];
    double own_rows[ROWS];
    alignas(64) double own_columns[COLUMNS];
    double value_sq = 0;
    each_piece<T>(tensor, block, [&](const Matrix<T>& matrix, const Piece& piece) {
        const T* p = widened(tensor.value_dtype, matrix.value(piece.element), piece.columns, buffer);
        value_sq += Loops<T>::row(piece.columns, p);
        if (!factored(tensor)) return;
        double* rows = whole(tensor) ? own_rows : row_sums(pass, tensor, matrix.matrix);
        double* columns = (whole(tensor) ? own_columns : column_sums(pass, tensor, matrix.matrix) + piece.row / ROWS * tensor.columns)
                          + piece.column;
        if (piece.row == block.row) std::fill(columns, columns + piece.columns, 0.0);
        const T* g = widened(tensor.gradient_dtype, matrix.gradient(piece.element), piece.columns, buffer);
        const double sum = Loops<T>::columns(piece.columns, g, columns);
        double& row = rows[piece.row * matrix.column_blocks() + block.column / COLUMNS];
        row = piece.column == block.column ? sum : row + sum;
        if (whole(tensor) && piece.row + 1 == tensor.rows && piece.column + piece.columns == tensor.columns) {
            matrix.finish(own_rows, own_columns);
        }
    });
    pass.step.sums[index] = value_sq;
}

// The updates of a piece; of what is not factored the averages have been computed.
template <class T>
static void updates_of(const Matrix<T>& matrix, const Piece& piece, T* buffer, T* out) {
    const panoptim_factored& tensor = matrix.tensor;
    const T* g = widened(tensor.gradient_dtype, matrix.gradient(piece.element), piece.columns, buffer);
    const T row = factored(tensor) ? matrix.row_factors()[piece.row] : T(1);
    Loops<T>::updates(piece.columns, row, T(tensor.factor_limit), g, matrix.column_factors() + piece.column, out);
}

template <class T>
static void measure_updates(const Pass& pass, const panoptim_factored_block& block, uint64_t index) {
    panoptim_factored& tensor = pass.step.tensors[block.tensor];
    alignas(64) T buffer[PIECE];
    alignas(64) T update[PIECE];
    double update_sq = 0;
    each_piece<T>(tensor, block, [&](const Matrix<T>& matrix, const Piece& piece) {
        if (!factored(tensor)) {
            const T* g = widened(tensor.gradient_dtype, matrix.gradient(piece.element), piece.columns, buffer);
            T* average = matrix.column_average() + piece.column;
            Loops<T>::averages(piece.columns, T(tensor.square_eps), T(tensor.average_weight), g, average);
            Loops<T>::factors(piece.columns, average, matrix.column_factors() + piece.column);
        }
        updates_of(matrix, piece, buffer, update);
        update_sq += Loops<T>::row(piece.columns, update);
    });
    pass.step.sums[index] = update_sq;
}

template <class T>
static void apply_updates(const Pass& pass, const panoptim_factored_block& block, uint64_t) {
    panoptim_factored& tensor = pass.step.tensors[block.tensor];
    alignas(64) T buffer[PIECE];
    alignas(64) T update[PIECE];
    each_piece<T>(tensor, block, [&](const Matrix<T>& matrix, const Piece& piece) {
        updates_of(matrix, piece, buffer, update);
        T step_size = T(tensor.step_size);
        if (tensor.average != 0) {
            Loops<T>::steps(piece.columns, -step_size, T(tensor.momentum), T(1 - tensor.momentum),
                            Matrix<T>::template at<T>(tensor.average, piece.element), update);
            step_size = -1;
        }
        T* p = widened(tensor.value_dtype, matrix.value(piece.element), piece.columns, buffer);
        Loops<T>::apply(piece.columns, step_size, T(tensor.keep), update, p);
        narrow(tensor.value_dtype, p, piece.columns, matrix.value(piece.element));
    });
}

static void run_blocks(const void* context, uint64_t begin, uint64_t end) {
    const Pass& pass = *static_cast<const Pass*>(context);
    for (uint64_t i = begin; i < end; ++i) {
        const uint64_t block = pass.step.first_block + i;
        pass.body(pass, pass.step.blocks[block], block);
    }
}

#define BY_TYPE(name)                                                                                  \
    static void name(const Pass& pass, const panoptim_factored_block& block, uint64_t index) {         \
        const bool wide = pass.step.tensors[block.tensor].compute == PANOPTIM_FLOAT64;                 \
        wide ? name<double>(pass, block, index) : name<float>(pass, block, index);                     \
    }

BY_TYPE(take_sums)
BY_TYPE(measure_updates)
BY_TYPE(apply_updates)

// A matrix of several blocks is finished with the one that it begins with.
static void finish_matrices(const Pass& pass, const panoptim_factored_block& block, uint64_t) {
    panoptim_factored& tensor = pass.step.tensors[block.tensor];
    if (!factored(tensor) || whole(tensor) || block.row != 0 || block.column != 0) return;
    const double* rows = row_sums(pass, tensor, block.matrix);
    double* columns = column_sums(pass, tensor, block.matrix);
    if (tensor.compute == PANOPTIM_FLOAT64) {
        Matrix<double>{tensor, block.matrix}.finish(rows, columns);
    } else {
        Matrix<float>{tensor, block.matrix}.finish(rows, columns);
    }
}

// ---- The verb

// One loop after the other, by the pool's threads where there is enough to do and it serves nobody else.
class Workers {
public:
    Workers(panoptim_pool& pool, uint64_t elements, uint64_t blocks) : pool(pool), blocks(blocks) {
        if (elements >= SMALL && pool.threads > 1 && blocks > 1 && acquire(pool)) {
            parts = uint32_t(std::min<uint64_t>(uint64_t(pool.threads), blocks));
        }
    }
    ~Workers() {
        if (parts > 1) release(pool);
    }
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    void run(const Pass& pass) {
        if (parts == 1) return run_blocks(&pass, 0, blocks);
        panoptim::run(pool, {run_blocks, &pass, 1, parts}, blocks);
    }

private:
    FloatingPoint environment;
    panoptim_pool& pool;
    const uint64_t blocks;
    uint32_t parts = 1;
};

static uint64_t elements_of(const panoptim_factored& tensor) { return tensor.batch * tensor.rows * tensor.columns; }

template <class Body>
static void each_total(const panoptim_factored_step& step, Body body) {
    for (uint64_t i = step.begin; i < step.end; ++i) {
        panoptim_factored& tensor = step.tensors[i];
        double total = 0;
        for (uint64_t block = 0; block < tensor.blocks; ++block) total += step.sums[tensor.first_block + block];
        if (elements_of(tensor) != 0) body(tensor, total, double(elements_of(tensor)));
    }
}

int32_t step_factored(panoptim_pool* pool, const panoptim_factored_step* step) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "step_factored: the pool is null");
    if (step == nullptr || step->size != sizeof(panoptim_factored_step) || step->record_size != sizeof(panoptim_factored)
        || step->block_size != sizeof(panoptim_factored_block)) {
        return fail(PANOPTIM_INVALID, "step_factored: a structure is null or has another size");
    }
    uint64_t elements = 0;
    for (uint64_t i = step->begin; i < step->end; ++i) elements += elements_of(step->tensors[i]);
    Workers workers(*pool, elements, step->end_block - step->first_block);
    workers.run({*step, take_sums});
    workers.run({*step, finish_matrices});
    each_total(*step, Factored::scale);
    workers.run({*step, measure_updates});
    each_total(*step, Factored::clip);
    workers.run({*step, apply_updates});
    return PANOPTIM_OK;
}

}  // namespace panoptim
