#include "product.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <numeric>

#include "convert.h"
#include "error.h"
#include "floating_point.h"
#include "onednn.h"
#include "pool.h"

namespace panoptim {

// ---- The library

static int32_t open(const char* const* files, uint64_t count, const panoptim_blas* blas, void** library) {
    if (files == nullptr || count == 0 || blas == nullptr || blas->size != sizeof(panoptim_blas)) {
        return fail(PANOPTIM_INVALID, "open: there is no file, or nowhere to put what it has");
    }
    for (uint64_t i = 0; i < count; ++i) {
        *library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        if (*library == nullptr) return fail(PANOPTIM_INVALID, "%s", dlerror());
    }
    return PANOPTIM_OK;
}

int32_t open_blas(const char* const* files, uint64_t count, panoptim_blas* blas) {
    void* library = nullptr;
    if (int32_t code = open(files, count, blas, &library)) return code;
    blas->sgemm = dlsym(library, "cblas_sgemm");
    blas->dgemm = dlsym(library, "cblas_dgemm");
    if (blas->sgemm == nullptr || blas->dgemm == nullptr) {
        return fail(PANOPTIM_INVALID, "%s has no cblas_sgemm and cblas_dgemm", files[count - 1]);
    }
    blas->ssyevd = dlsym(library, "ssyevd_");
    blas->dsyevd = dlsym(library, "dsyevd_");
    blas->sgeqrf = dlsym(library, "sgeqrf_");
    blas->dgeqrf = dlsym(library, "dgeqrf_");
    blas->sorgqr = dlsym(library, "sorgqr_");
    blas->dorgqr = dlsym(library, "dorgqr_");
    // The pool's threads share the work: the library's own stay asleep.
    auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(library, "openblas_set_num_threads"));
    if (set_threads != nullptr) set_threads(1);
    auto config = reinterpret_cast<char* (*)()>(dlsym(library, "openblas_get_config"));
    blas->config = config == nullptr ? nullptr : config();
    return PANOPTIM_OK;
}

int32_t open_onednn(const char* const* files, uint64_t count, panoptim_blas* blas) {
    void* library = nullptr;
    if (int32_t code = open(files, count, blas, &library)) return code;
    const OneDnn* onednn = find_onednn(library);
    if (onednn == nullptr) {
        return fail(PANOPTIM_INVALID, "%s lacks functions of oneDNN's matmul primitive, or of OpenMP, or cannot be used", files[count - 1]);
    }
    if (!multiplies_bfloat16(*onednn)) {
        return fail(PANOPTIM_UNSUPPORTED, "this processor has no instructions for products of bfloat16");
    }
    blas->onednn = onednn;
    return PANOPTIM_OK;
}

// ---- One part of a product

template <class T>
using Gemm = void (*)(int order, int transpose_a, int transpose_b, int rows, int columns, int inner, T alpha, const T* a,
                      int leading_a, const T* b, int leading_b, T beta, T* c, int leading_c);

static constexpr int ROW_MAJOR = 101;
static constexpr int PLAIN = 111;
static constexpr int TRANSPOSED = 112;

enum Operand { A, B, C, D };

// A rectangle of a matrix of the result.
struct Part {
    uint64_t matrix;
    uint64_t row;
    uint64_t rows;
    uint64_t column;
    uint64_t columns;
};

static bool is_symmetric(const panoptim_product& product) { return (product.flags & PANOPTIM_SYMMETRIC) != 0; }

struct Product {
    const panoptim_product& shape;
    const void* gemm;
    bool transposed[2];
    std::atomic<bool>* failed;  // oneDNN's products may, for want of memory

    // Element (row, column) of an operand, which for A and B is that of op(A) and op(B).
    template <class T>
    T* at(Operand operand, uint64_t matrix, uint64_t row, uint64_t column) const {
        if (operand <= B && transposed[operand]) std::swap(row, column);
        return reinterpret_cast<T*>(shape.addresses[operand][matrix]) + row * shape.leading[operand] + column;
    }
};

// D = beta C, where nothing is added to it.
template <class T>
static void begin(const Product& product, const Part& part) {
    for (uint64_t i = 0; i < part.rows; ++i) {
        T* to = product.at<T>(D, part.matrix, part.row + i, part.column);
        if (product.shape.beta == 0) {
            memset(to, 0, part.columns * sizeof(T));
            continue;
        }
        const T* from = product.at<T>(C, part.matrix, part.row + i, part.column);
        if (from != to) memcpy(to, from, part.columns * sizeof(T));
    }
}

// The result without its multiple of the identity.
template <class T>
static void compute_sum(const Product& product, const Part& part) {
    const panoptim_product& shape = product.shape;
    const bool adds = shape.alpha != 0 && shape.inner != 0;
    const bool separate = shape.addresses[C][part.matrix] != shape.addresses[D][part.matrix];
    if (!adds || (shape.beta != 0 && separate)) begin<T>(product, part);
    T* to = product.at<T>(D, part.matrix, part.row, part.column);
    if (!adds) {
        if (shape.beta == 0) return;
        for (uint64_t i = 0; i < part.rows; ++i) {
            T* row = to + i * shape.leading[D];
            for (uint64_t j = 0; j < part.columns; ++j) row[j] *= T(shape.beta);
        }
        return;
    }
    reinterpret_cast<Gemm<T>>(reinterpret_cast<uintptr_t>(product.gemm))(
        ROW_MAJOR, product.transposed[A] ? TRANSPOSED : PLAIN, product.transposed[B] ? TRANSPOSED : PLAIN, int(part.rows),
        int(part.columns), int(shape.inner), T(shape.alpha), product.at<T>(A, part.matrix, part.row, 0), int(shape.leading[A]),
        product.at<T>(B, part.matrix, 0, part.column), int(shape.leading[B]), T(shape.beta), to, int(shape.leading[D]));
}

template <class T>
static void compute(const Product& product, const Part& part) {
    compute_sum<T>(product, part);
    if (product.shape.gamma == 0) return;
    const uint64_t end = std::min(part.row + part.rows, part.column + part.columns);
    for (uint64_t i = std::max(part.row, part.column); i < end; ++i) *product.at<T>(D, part.matrix, i, i) += T(product.shape.gamma);
}

// ---- Half types: blocks are widened to float32, in which they are added up, and the result is rounded once.

static constexpr uint64_t HALF_BLOCK = 128;

struct Blocks {
    alignas(64) float a[HALF_BLOCK * HALF_BLOCK];
    alignas(64) float b[HALF_BLOCK * HALF_BLOCK];
    alignas(64) float sum[HALF_BLOCK * HALF_BLOCK];
};

// A block of op(A) or op(B), as it lies in memory.
static void widen(const Product& product, Operand operand, uint64_t matrix, uint64_t row, uint64_t rows, uint64_t column,
                  uint64_t columns, float* to) {
    if (product.transposed[operand]) std::swap(rows, columns);
    const uint16_t* from = product.at<uint16_t>(operand, matrix, row, column);
    for (uint64_t i = 0; i < rows; ++i) {
        load(uint8_t(product.shape.dtype), from + i * product.shape.leading[operand], columns, to + i * HALF_BLOCK);
    }
}

// Of a row of the result: alpha times the sum, plus beta C, plus gamma on the diagonal.
struct FinishedRow {
    float alpha, beta, gamma;
    uint64_t columns;
    uint64_t diagonal;  // where the row has no gamma, not one of the columns

    // load(j) gives an element of C, store(j, x) rounds one of D.
    template <class Load, class Store>
    PANOPTIM_INLINE void store(const float* sum, Load load, Store store) const {
        const float corner = diagonal < columns ? at(sum[diagonal], beta == 0 ? 0 : load(diagonal)) + gamma : 0;
        if (beta == 0) {
#pragma omp simd
            for (uint64_t j = 0; j < columns; ++j) store(j, alpha * sum[j]);
        } else {
#pragma omp simd
            for (uint64_t j = 0; j < columns; ++j) store(j, at(sum[j], load(j)));
        }
        if (diagonal < columns) store(diagonal, corner);
    }

private:
    PANOPTIM_INLINE float at(float sum, float c) const { return beta == 0 ? alpha * sum : __builtin_fmaf(alpha, sum, beta * c); }
};

// Rounds a block of at most BLOCK columns, whose products have been added up.
static void finish_block(const Product& product, const Part& part, bool adds, const float* sum, uint64_t leading) {
    const panoptim_product& shape = product.shape;
    alignas(64) float row[BLOCK];
    for (uint64_t i = 0; i < part.rows; ++i) {
        const uint64_t diagonal = part.row + i - part.column;  // wraps around where it lies before the part
        const FinishedRow finished{adds ? float(shape.alpha) : 0, float(shape.beta), float(shape.gamma), part.columns,
                                   shape.gamma == 0 ? part.columns : diagonal};
        const uint16_t* c = shape.beta == 0 ? nullptr : product.at<uint16_t>(C, part.matrix, part.row + i, part.column);
        uint16_t* d = product.at<uint16_t>(D, part.matrix, part.row + i, part.column);
        const float* from = sum + i * leading;
        if (shape.dtype == PANOPTIM_BFLOAT16) {
            finished.store(from, [=](uint64_t j) { return from_bfloat16(c[j]); },
                           [=](uint64_t j, float x) { d[j] = uint16_t(to_bfloat16(x)); });
        } else {
            if (c != nullptr) load(PANOPTIM_FLOAT16, c, part.columns, row);
            finished.store(from, [&](uint64_t j) { return row[j]; }, [&](uint64_t j, float x) { row[j] = x; });
            store(PANOPTIM_FLOAT16, row, part.columns, d);
        }
    }
}

static void compute_block(const Product& product, const Part& part, Blocks& blocks) {
    const panoptim_product& shape = product.shape;
    const auto gemm = reinterpret_cast<Gemm<float>>(reinterpret_cast<uintptr_t>(product.gemm));
    const uint64_t inner = shape.alpha == 0 ? 0 : shape.inner;
    for (uint64_t k = 0; k < inner; k += HALF_BLOCK) {
        const uint64_t depth = std::min(HALF_BLOCK, inner - k);
        widen(product, A, part.matrix, part.row, part.rows, k, depth, blocks.a);
        widen(product, B, part.matrix, k, depth, part.column, part.columns, blocks.b);
        gemm(ROW_MAJOR, product.transposed[A] ? TRANSPOSED : PLAIN, product.transposed[B] ? TRANSPOSED : PLAIN, int(part.rows),
             int(part.columns), int(depth), 1, blocks.a, int(HALF_BLOCK), blocks.b, int(HALF_BLOCK), k == 0 ? 0 : 1, blocks.sum,
             int(HALF_BLOCK));
    }
    if (inner == 0) memset(blocks.sum, 0, sizeof blocks.sum);
    finish_block(product, part, inner != 0, blocks.sum, HALF_BLOCK);
}

// ---- bfloat16 by the processor's own instructions, which take subnormal numbers for 0

// What a bfloat16 is to compute(), to tell it from a type that is widened.
struct Bfloat16 {
    uint16_t bits;
};

static constexpr uint64_t BFLOAT16_BLOCK = 256;

template <>
void compute<Bfloat16>(const Product& product, const Part& part) {
    alignas(64) float sum[BFLOAT16_BLOCK * BFLOAT16_BLOCK];
    const panoptim_product& shape = product.shape;
    const OneDnn& onednn = *static_cast<const OneDnn*>(product.gemm);
    for (uint64_t i = part.row; i < part.row + part.rows; i += BFLOAT16_BLOCK) {
        const uint64_t rows = std::min(BFLOAT16_BLOCK, part.row + part.rows - i);
        for (uint64_t j = part.column; j < part.column + part.columns; j += BFLOAT16_BLOCK) {
            const uint64_t columns = std::min(BFLOAT16_BLOCK, part.column + part.columns - j);
            const bool adds = shape.alpha != 0 && shape.inner != 0;
            const Bfloat16Shape sides{int64_t(rows), int64_t(columns), int64_t(shape.inner), int64_t(shape.leading[A]),
                                      int64_t(shape.leading[B]), int64_t(BFLOAT16_BLOCK), product.transposed[A], product.transposed[B]};
            if (!adds) {
                memset(sum, 0, sizeof sum);
            } else if (!multiply_bfloat16(onednn, sides, product.at<Bfloat16>(A, part.matrix, i, 0),
                                          product.at<Bfloat16>(B, part.matrix, 0, j), sum)) {
                product.failed->store(true, std::memory_order_relaxed);
                return;
            }
            finish_block(product, {part.matrix, i, rows, j, columns}, adds, sum, BFLOAT16_BLOCK);
        }
    }
}

template <>
void compute<uint16_t>(const Product& product, const Part& part) {
    Blocks blocks;
    for (uint64_t i = 0; i < part.rows; i += HALF_BLOCK) {
        for (uint64_t j = 0; j < part.columns; j += HALF_BLOCK) {
            compute_block(product, {part.matrix, part.row + i, std::min(HALF_BLOCK, part.rows - i), part.column + j,
                                    std::min(HALF_BLOCK, part.columns - j)}, blocks);
        }
    }
}

// ---- Symmetric results

// How a square on the diagonal is computed: up to a size in strips of so many columns, each from the diagonal down.
template <class T>
struct Square {
    static constexpr uint64_t STRIPPED = 48, STRIP = 48;  // one strip: as a whole
};
template <>
struct Square<Bfloat16> {  // whose small products take long
    static constexpr uint64_t STRIPPED = 256, STRIP = 64;
};

static constexpr uint64_t MIRROR_BLOCK = 32;
static constexpr uint64_t TILE = 8;

template <size_t bytes>
struct Bits;
template <>
struct Bits<2> {
    typedef uint16_t Row __attribute__((vector_size(16)));
};
template <>
struct Bits<4> {
    typedef uint32_t Row __attribute__((vector_size(32)));
};
template <>
struct Bits<8> {
    typedef uint64_t Row __attribute__((vector_size(64)));
};

// Writes TILE x TILE elements transposed: exchanges the quarters that lie off the diagonal, then their quarters, and theirs.
template <class T>
static PANOPTIM_INLINE void transpose_tile(const T* from, T* to, uint64_t leading) {
    using Row = typename Bits<sizeof(T)>::Row;
    Row rows[TILE];
    for (uint64_t i = 0; i < TILE; ++i) memcpy(&rows[i], from + i * leading, sizeof(Row));
    for (uint64_t i = 0; i < 4; ++i) {
        const Row a = rows[i], b = rows[i + 4];
        rows[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
        rows[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
    for (uint64_t i : {0, 1, 4, 5}) {
        const Row a = rows[i], b = rows[i + 2];
        rows[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
        rows[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (uint64_t i = 0; i < TILE; i += 2) {
        const Row a = rows[i], b = rows[i + 1];
        rows[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
        rows[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (uint64_t i = 0; i < TILE; ++i) memcpy(to + i * leading, &rows[i], sizeof(Row));
}

// Copies what lies below the diagonal of a tile, which may be smaller, to the other side.
template <class T>
static PANOPTIM_INLINE void mirror_tile(T* base, uint64_t leading, uint64_t i0, uint64_t i1, uint64_t j0, uint64_t j1) {
    if (i0 >= j1 && i1 - i0 == TILE && j1 - j0 == TILE) {
        transpose_tile(base + i0 * leading + j0, base + j0 * leading + i0, leading);
        return;
    }
    for (uint64_t j = j0; j < j1; ++j) {
        for (uint64_t i = std::max(i0, j + 1); i < i1; ++i) base[j * leading + i] = base[i * leading + j];
    }
}

// Copies what lies below the diagonal of a part to the other side.
template <class T>
static void mirror(const Product& product, const Part& part) {
    const uint64_t leading = product.shape.leading[D];
    T* base = product.at<T>(D, part.matrix, 0, 0);
    const uint64_t bottom = part.row + part.rows;
    const uint64_t right = part.column + part.columns;
    for (uint64_t i0 = part.row; i0 < bottom; i0 += MIRROR_BLOCK) {
        const uint64_t i1 = std::min(i0 + MIRROR_BLOCK, bottom);
        for (uint64_t j0 = part.column; j0 < right; j0 += MIRROR_BLOCK) {
            const uint64_t j1 = std::min(j0 + MIRROR_BLOCK, right);
            for (uint64_t j = j0; j < j1; j += TILE) {
                for (uint64_t i = i0; i < i1; i += TILE) {
                    mirror_tile(base, leading, i, std::min(i + TILE, i1), j, std::min(j + TILE, j1));
                }
            }
        }
    }
}

// A square on the diagonal: its strips or, if it is larger, its lower left quarter and two smaller squares. What lies below the
// diagonal is mirrored.
template <class T>
static void compute_square(const Product& product, uint64_t matrix, uint64_t start, uint64_t size) {
    if (size <= Square<T>::STRIPPED) {
        for (uint64_t done = 0; done < size; done += Square<T>::STRIP) {
            const Part part{matrix, start + done, size - done, start + done, std::min(size - done, Square<T>::STRIP)};
            compute<T>(product, part);
            mirror<T>(product, part);
        }
        return;
    }
    const uint64_t half = (size / 2 + 15) / 16 * 16;
    const Part below{matrix, start + half, size - half, start, half};
    compute<T>(product, below);
    mirror<T>(product, below);
    compute_square<T>(product, matrix, start, half);
    compute_square<T>(product, matrix, start + half, size - half);
}

// ---- Parts for the threads

// Each matrix of the result is cut into rows x columns parts or, if it is symmetric, into those of a triangle. Where products follow,
// a part is a whole matrix, which goes through all of them.
struct Work {
    const panoptim_product* products;
    const void* gemm;
    std::atomic<bool>* failed;
    uint64_t rows;
    uint64_t columns;

    uint64_t parts() const { return is_symmetric(products[0]) ? rows * (rows + 1) / 2 : rows * columns; }

    Product product(uint64_t index) const {
        const uint32_t flags = products[index].flags;
        return {products[index], gemm, {(flags & PANOPTIM_TRANSPOSE_A) != 0, (flags & PANOPTIM_TRANSPOSE_B) != 0}, failed};
    }
};

// Where a cut lies, at a multiple of 16.
static uint64_t cut(uint64_t size, uint64_t parts, uint64_t index) {
    return index == parts ? size : size * index / parts / 16 * 16;
}

static Part part_of(const Work& work, const panoptim_product& shape, uint64_t matrix, uint64_t row, uint64_t column) {
    const uint64_t top = cut(shape.rows, work.rows, row);
    const uint64_t left = cut(shape.columns, work.columns, column);
    return {matrix, top, cut(shape.rows, work.rows, row + 1) - top, left, cut(shape.columns, work.columns, column + 1) - left};
}

template <class T>
static void compute_part(const Work& work, const Product& product, uint64_t matrix, uint64_t index) {
    if (product.shape.rows == 0 || product.shape.columns == 0) return;
    if (!is_symmetric(product.shape)) {
        compute<T>(product, part_of(work, product.shape, matrix, index / work.columns, index % work.columns));
        return;
    }
    // The squares on the diagonal, which cost half as much, come last.
    const uint64_t below = work.rows * (work.rows - 1) / 2;
    if (index >= below) {
        const Part square = part_of(work, product.shape, matrix, index - below, index - below);
        compute_square<T>(product, matrix, square.row, square.rows);
        return;
    }
    uint64_t row = 1;
    while (row * (row + 1) / 2 <= index) ++row;
    const Part part = part_of(work, product.shape, matrix, row, index - row * (row - 1) / 2);
    compute<T>(product, part);
    mirror<T>(product, part);
}

template <class T>
static void compute_parts(const void* context, uint64_t begin, uint64_t end) {
    const Work& work = *static_cast<const Work*>(context);
    const uint64_t parts = work.parts();
    for (uint64_t i = begin; i < end; ++i) {
        for (uint64_t k = 0; k <= work.products[0].following; ++k) compute_part<T>(work, work.product(k), i / parts, i % parts);
    }
}

// The pool's threads share the work, so that each of them keeps OpenMP to itself, and the caller for now.
static void compute_bfloat16_parts(const void* context, uint64_t begin, uint64_t end) {
    const SingleThread alone(*static_cast<const OneDnn*>(static_cast<const Work*>(context)->gemm));
    compute_parts<Bfloat16>(context, begin, end);
}

// Less operations than this are done before a worker is awake, and smaller parts are not worth a call.
static constexpr double SMALL_PRODUCT = 2e6;
static constexpr uint64_t SMALL_SIDE = 64;

// Cuts matrices only where there are too few of them to keep all threads busy.
static void divide(Work& work, uint64_t threads) {
    const panoptim_product& shape = work.products[0];
    if (shape.following != 0 || shape.batch >= 4 * threads || shape.batch % threads == 0) return;
    if (is_symmetric(shape)) {
        work.rows = work.columns = std::max<uint64_t>(1, std::min(threads, shape.rows / SMALL_SIDE));
        return;
    }
    uint64_t wanted = threads / std::gcd(shape.batch, threads);
    while (wanted > 1) {
        uint64_t factor = 2;
        while (wanted % factor != 0) ++factor;
        wanted /= factor;
        const uint64_t height = shape.rows / work.rows;
        const uint64_t width = shape.columns / work.columns;
        if (std::max(height, width) < factor * SMALL_SIDE) return;
        (height >= width ? work.rows : work.columns) *= factor;
    }
}

static int32_t check(const panoptim_product& product, const panoptim_product& first) {
    if (product.size != sizeof(panoptim_product)) return fail(PANOPTIM_INVALID, "multiply: a product has another size");
    if (product.dtype > PANOPTIM_FLOAT16) return fail(PANOPTIM_INVALID, "multiply: there is no product of type %u", product.dtype);
    if (product.dtype != first.dtype || product.batch != first.batch) {
        return fail(PANOPTIM_INVALID, "multiply: a product that follows has another type or batch");
    }
    if (is_symmetric(product) && product.rows != product.columns) {
        return fail(PANOPTIM_INVALID, "multiply: a symmetric result is square");
    }
    uint64_t largest = std::max({product.rows, product.columns, product.inner});
    for (uint64_t leading : product.leading) largest = std::max(largest, leading);
    if (largest > INT_MAX) {
        return fail(PANOPTIM_UNSUPPORTED, "multiply: BLAS counts in 32 bits, and a side or a distance between rows is %llu",
                    static_cast<unsigned long long>(largest));
    }
    return PANOPTIM_OK;
}

int32_t multiply(panoptim_pool* pool, const panoptim_blas* blas, const panoptim_product* products) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "multiply: the pool is null");
    if (blas == nullptr || blas->size != sizeof(panoptim_blas) || products == nullptr || products->size != sizeof(panoptim_product)) {
        return fail(PANOPTIM_INVALID, "multiply: a structure is null or has another size");
    }
    double operations = 0;
    for (uint64_t k = 0; k <= products->following; ++k) {
        const panoptim_product& each = products[k];
        if (int32_t code = check(each, *products)) return code;
        operations += 2.0 * double(each.batch) * double(each.rows) * double(each.columns) * double(each.inner);
    }
    if (products->batch == 0) return PANOPTIM_OK;

    const bool wide = products->dtype == PANOPTIM_FLOAT64;
    const bool half = products->dtype == PANOPTIM_BFLOAT16 || products->dtype == PANOPTIM_FLOAT16;
    const bool bfloat16 = products->dtype == PANOPTIM_BFLOAT16 && blas->onednn != nullptr;
    std::atomic<bool> failed{false};
    Work work{products, wide ? blas->dgemm : bfloat16 ? blas->onednn : blas->sgemm, &failed, 1, 1};
    const auto body = wide ? compute_parts<double> : bfloat16 ? compute_bfloat16_parts : half ? compute_parts<uint16_t>
                                                                                              : compute_parts<float>;
    FloatingPoint environment;
    const bool shared = operations >= SMALL_PRODUCT && pool->threads > 1 && acquire(*pool);
    if (shared) divide(work, uint64_t(pool->threads));
    const uint64_t items = products->batch * work.parts();
    if (!shared) {
        body(&work, 0, items);
    } else {
        run(*pool, {body, &work, 1, uint32_t(std::min<uint64_t>(uint64_t(pool->threads), items))}, items);
        release(*pool);
    }
    return failed ? fail(PANOPTIM_INVALID, "multiply: oneDNN has failed: is there memory left?") : PANOPTIM_OK;
}

}  // namespace panoptim
