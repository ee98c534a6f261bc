#include "decompose.h"

#include <limits.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "error.h"
#include "floating_point.h"
#include "pool.h"

namespace panoptim {

// LAPACK's parameters; gfortran passes the strings' lengths behind them.
template <class T>
using Syevd = void (*)(const char* job, const char* triangle, const int* size, T* matrix, const int* leading, T* values, T* work,
                       const int* work_size, int* integers, const int* integers_size, int* info, size_t, size_t);
template <class T>
using Geqrf = void (*)(const int* rows, const int* columns, T* matrix, const int* leading, T* tau, T* work, const int* work_size,
                       int* info);
template <class T>
using Orgqr = void (*)(const int* rows, const int* columns, const int* reflectors, T* matrix, const int* leading, const T* tau, T* work,
                       const int* work_size, int* info);

template <class Function>
static Function function(const void* address) { return reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(address)); }

template <class T>
struct Work {
    panoptim_decomposition& shape;
    Syevd<T> syevd;
    Geqrf<T> geqrf;
    Orgqr<T> orgqr;
    std::atomic<uint64_t> failed{0};
    std::atomic<bool> exhausted{false};

    T* matrix(uint64_t index) const { return reinterpret_cast<T*>(shape.matrices[index]); }
};

template <class T>
static std::unique_ptr<T[]> array(uint64_t size) { return std::unique_ptr<T[]>(new (std::nothrow) T[std::max<uint64_t>(1, size)]); }

enum class Result { DONE, FAILED, EXHAUSTED };

// Row-major matrices are column-major ones transposed: symmetric ones the same, with the triangles exchanged.
template <class T>
static Result eigen(const Work<T>& work, uint64_t index) {
    T* a = work.matrix(index);
    const int size = int(work.shape.rows), leading = int(work.shape.leading), query = -1;
    T* values = reinterpret_cast<T*>(work.shape.eigenvalues[index]);
    T best = 0;
    int integers_size = 0, info = 0;
    work.syevd("V", "U", &size, a, &leading, values, &best, &query, &integers_size, &query, &info, 1, 1);
    if (info != 0) return Result::FAILED;
    // A large size is rounded in float32.
    const int scratch_size = int(std::min<double>(INT_MAX, std::max(double(best) * (1 + 1e-6), 1 + 6.0 * size + 2.0 * size * size)));
    auto scratch = array<T>(uint64_t(scratch_size));
    auto integers = array<int>(uint64_t(integers_size));
    if (scratch == nullptr || integers == nullptr) return Result::EXHAUSTED;
    work.syevd("V", "U", &size, a, &leading, values, scratch.get(), &scratch_size, integers.get(), &integers_size, &info, 1, 1);
    if (info != 0) return Result::FAILED;
    for (int i = 0; i < size; ++i) {
        for (int j = 0; j < i; ++j) std::swap(a[uint64_t(i) * work.shape.leading + j], a[uint64_t(j) * work.shape.leading + i]);
    }
    return Result::DONE;
}

template <class T>
static Result orthonormal(const Work<T>& work, uint64_t index) {
    T* a = work.matrix(index);
    const uint64_t rows = work.shape.rows, columns = work.shape.columns;
    const int m = int(rows), n = int(columns), query = -1;
    T best = 0;
    int info = 0;
    auto transposed = array<T>(rows * columns);
    auto tau = array<T>(columns);
    if (transposed == nullptr || tau == nullptr) return Result::EXHAUSTED;
    for (uint64_t i = 0; i < rows; ++i) {
        for (uint64_t j = 0; j < columns; ++j) transposed[j * rows + i] = a[i * work.shape.leading + j];
    }
    T other = 0;
    work.geqrf(&m, &n, transposed.get(), &m, tau.get(), &best, &query, &info);
    work.orgqr(&m, &n, &n, transposed.get(), &m, tau.get(), &other, &query, &info);
    const int scratch_size = int(std::min<double>(INT_MAX, std::max<double>(columns, double(std::max(best, other)) * (1 + 1e-6))));
    auto scratch = array<T>(uint64_t(scratch_size));
    if (scratch == nullptr) return Result::EXHAUSTED;
    work.geqrf(&m, &n, transposed.get(), &m, tau.get(), scratch.get(), &scratch_size, &info);
    if (info == 0) work.orgqr(&m, &n, &n, transposed.get(), &m, tau.get(), scratch.get(), &scratch_size, &info);
    if (info != 0) return Result::FAILED;
    for (uint64_t i = 0; i < rows; ++i) {
        for (uint64_t j = 0; j < columns; ++j) a[i * work.shape.leading + j] = transposed[j * rows + i];
    }
    return Result::DONE;
}

template <class T>
static void decompose_some(const void* context, uint64_t begin, uint64_t end) {
    Work<T>& work = *static_cast<Work<T>*>(const_cast<void*>(context));
    for (uint64_t i = begin; i < end; ++i) {
        const Result result = work.shape.kind == PANOPTIM_EIGEN ? eigen(work, i) : orthonormal(work, i);
        if (result == Result::FAILED) work.failed = i + 1;
        if (result == Result::EXHAUSTED) work.exhausted = true;
    }
}

// Less operations than this are done before a worker is awake.
static constexpr double SMALL_WORK = 2e6;

template <class T>
static int32_t decompose_all(panoptim_pool& pool, panoptim_decomposition& shape, const void* syevd, const void* geqrf, const void* orgqr) {
    if (shape.kind == PANOPTIM_EIGEN ? syevd == nullptr : geqrf == nullptr || orgqr == nullptr) {
        return fail(PANOPTIM_UNSUPPORTED, "decompose: the BLAS library has no LAPACK");
    }
    Work<T> work{shape, function<Syevd<T>>(syevd), function<Geqrf<T>>(geqrf), function<Orgqr<T>>(orgqr)};
    FloatingPoint environment;
    const double operations = 4.0 * double(shape.batch) * double(shape.rows) * double(shape.columns) * double(shape.columns);
    if (shape.batch > 1 && operations >= SMALL_WORK && pool.threads > 1 && acquire(pool)) {
        run(pool, {decompose_some<T>, &work, 1, uint32_t(std::min<uint64_t>(uint64_t(pool.threads), shape.batch))}, shape.batch);
        release(pool);
    } else {
        decompose_some<T>(&work, 0, shape.batch);
    }
    shape.failed = work.failed;
    return work.exhausted ? fail(PANOPTIM_EXHAUSTED, "decompose: there is no memory for the workspace") : PANOPTIM_OK;
}

int32_t decompose(panoptim_pool* pool, const panoptim_blas* blas, panoptim_decomposition* decomposition) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "decompose: the pool is null");
    if (blas == nullptr || blas->size != sizeof(panoptim_blas) || decomposition == nullptr
        || decomposition->size != sizeof(panoptim_decomposition)) {
        return fail(PANOPTIM_INVALID, "decompose: a structure is null or has another size");
    }
    panoptim_decomposition& shape = *decomposition;
    shape.failed = 0;
    if (shape.dtype > PANOPTIM_FLOAT64 || shape.kind > PANOPTIM_QR) {
        return fail(PANOPTIM_INVALID, "decompose: there is no kind %u of type %u", shape.kind, shape.dtype);
    }
    if (shape.columns > shape.rows || (shape.kind == PANOPTIM_EIGEN && shape.columns != shape.rows)) {
        return fail(PANOPTIM_INVALID, "decompose: more columns than rows, or eigenvectors of what is not square");
    }
    if (std::max(shape.rows, shape.leading) > INT_MAX) return fail(PANOPTIM_UNSUPPORTED, "decompose: LAPACK counts in 32 bits");
    if (shape.batch == 0 || shape.columns == 0) return PANOPTIM_OK;
    return shape.dtype == PANOPTIM_FLOAT64 ? decompose_all<double>(*pool, shape, blas->dsyevd, blas->dgeqrf, blas->dorgqr)
                                           : decompose_all<float>(*pool, shape, blas->ssyevd, blas->sgeqrf, blas->sorgqr);
}

}  // namespace panoptim
