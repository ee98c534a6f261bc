// libcublas.so, a stand-in for NVIDIA's on the streams of the stand-in for its driver: the functions of cublas_calls.h, and those by which
// JCuda's binding makes the same products. Matrices are column-major, arguments are checked, and what a stream must not do while it is
// captured is refused, all as cuBLAS documents; sums are plain loops.
#include "cublas_calls.h"

#include <math.h>
#include <string.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

#include "arithmetic.h"
#include "half.h"

extern "C" {
int panoptim_test_submit(void* stream, const char* (*run)(void*), void* data, void (*drop)(void*));
int panoptim_test_live(uint64_t address, uint64_t size);
int cuStreamIsCapturing(void* stream, int* status);
int cuCtxGetCurrent(void** context);
}

namespace {

constexpr int INTERNAL_ERROR = 14;

struct Handle {
    void* stream = nullptr;
    void* workspace = nullptr;
    size_t workspace_bytes = 0;
    int mode = 0;
};

std::mutex mutex;
std::set<Handle*> handles;

bool lives(Handle* handle) {
    const std::lock_guard<std::mutex> lock(mutex);
    return handles.count(handle) != 0;
}

struct Matrices {
    uint64_t first;  // the address or, with pointers, that of a table of addresses
    int type;
    int64_t leading, stride;
};

struct Product {
    bool transpose_a, transpose_b, pointers;
    int64_t m, n, k, batch;
    double alpha, beta;
    Matrices a, b, c;
    int compute;
    uint64_t workspace, workspace_bytes;

    uint64_t address(const Matrices& matrices, int64_t index) const;
    template <class T> void run(int64_t index) const;
    const char* run() const;
};

int size_of(int type) { return type == PANOPTIM_CUBLAS_R_64F ? 8 : type == PANOPTIM_CUBLAS_R_32F ? 4 : 2; }

uint64_t Product::address(const Matrices& matrices, int64_t index) const {
    return pointers ? ((const uint64_t*)matrices.first)[index] : matrices.first + index * matrices.stride * size_of(matrices.type);
}

template <class T>
T load(uint64_t address, int type, int64_t index) {
    switch (type) {
        case PANOPTIM_CUBLAS_R_64F: return (T)((const double*)address)[index];
        case PANOPTIM_CUBLAS_R_32F: return (T)((const float*)address)[index];
        case PANOPTIM_CUBLAS_R_16F: return (T)panoptim::from_float16(((const unsigned short*)address)[index]);
        default: return (T)panoptim::from_bfloat16(((const unsigned short*)address)[index]);
    }
}

template <class T>
void store(uint64_t address, int type, int64_t index, T x) {
    switch (type) {
        case PANOPTIM_CUBLAS_R_64F: ((double*)address)[index] = (double)x; break;
        case PANOPTIM_CUBLAS_R_32F: ((float*)address)[index] = (float)x; break;
        case PANOPTIM_CUBLAS_R_16F: ((unsigned short*)address)[index] = (unsigned short)panoptim::to_float16((float)x); break;
        default: ((unsigned short*)address)[index] = (unsigned short)panoptim::to_bfloat16((float)x);
    }
}

// To the 10 bits behind the point that TF32 keeps, to even.
float to_tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

template <class T>
void Product::run(int64_t index) const {
    const uint64_t at = address(a, index), bt = address(b, index), ct = address(c, index);
    std::vector<T> left(m * k), right(k * n);  // rows of A and columns of B, each in one piece
    for (int64_t p = 0; p < k; p++) {
        for (int64_t i = 0; i < m; i++) left[i * k + p] = load<T>(at, a.type, transpose_a ? p + i * a.leading : i + p * a.leading);
        for (int64_t j = 0; j < n; j++) right[j * k + p] = load<T>(bt, b.type, transpose_b ? j + p * b.leading : p + j * b.leading);
    }
    if constexpr (sizeof(T) == sizeof(float)) {
        if (compute == PANOPTIM_CUBLAS_COMPUTE_32F_FAST_TF32) {
            for (float& x : left) x = to_tf32(x);
            for (float& x : right) x = to_tf32(x);
        }
    }
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < m; i++) {
            T sum = 0;
            for (int64_t p = 0; p < k; p++) sum = std::fma(left[i * k + p], right[j * k + p], sum);
            const int64_t element = i + j * c.leading;
            T value = (T)alpha * sum;
            if (beta != 0) value = std::fma((T)beta, load<T>(ct, c.type, element), value);
            store(ct, c.type, element, value);
        }
    }
}

bool in_memory(uint64_t address, int64_t rows, int64_t columns, const Matrices& matrices) {
    return rows == 0 || columns == 0 || panoptim_test_live(address, ((columns - 1) * matrices.leading + rows) * size_of(matrices.type));
}

const char* Product::run() const {
    if (workspace_bytes != 0 && !panoptim_test_live(workspace, workspace_bytes)) return "cuBLAS's workspace";
    for (const Matrices* matrices : {&a, &b, &c}) {
        if (pointers && !panoptim_test_live(matrices->first, batch * sizeof(uint64_t))) return "cuBLAS's table of addresses";
    }
    for (int64_t i = 0; i < batch; i++) {
        if (!in_memory(address(a, i), transpose_a ? k : m, transpose_a ? m : k, a)) return "cuBLAS's A";
        if (!in_memory(address(b, i), transpose_b ? n : k, transpose_b ? k : n, b)) return "cuBLAS's B";
        if (!in_memory(address(c, i), m, n, c)) return "cuBLAS's C";
        if (compute == PANOPTIM_CUBLAS_COMPUTE_64F) run<double>(i); else run<float>(i);
    }
    return nullptr;
}

int check(Handle* handle, const Product& product, int32_t transa, int32_t transb, const void* alpha, const void* beta) {
    if (!lives(handle)) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    const bool operations = (transa == PANOPTIM_CUBLAS_OP_N || transa == PANOPTIM_CUBLAS_OP_T)
        && (transb == PANOPTIM_CUBLAS_OP_N || transb == PANOPTIM_CUBLAS_OP_T);
    const Product& p = product;
    if (!operations || p.m < 0 || p.n < 0 || p.k < 0 || p.batch < 0 || alpha == nullptr || beta == nullptr
            || p.a.leading < std::max<int64_t>(1, p.transpose_a ? p.k : p.m) || p.b.leading < std::max<int64_t>(1, p.transpose_b ? p.n : p.k)
            || p.c.leading < std::max<int64_t>(1, p.m)) {
        return PANOPTIM_CUBLAS_INVALID_VALUE;
    }
    const bool alike = p.a.type == p.b.type && p.a.type == p.c.type;
    const bool half = p.a.type == PANOPTIM_CUBLAS_R_16F || p.a.type == PANOPTIM_CUBLAS_R_16BF;
    const bool supported = p.compute == PANOPTIM_CUBLAS_COMPUTE_64F ? p.a.type == PANOPTIM_CUBLAS_R_64F
        : p.compute == PANOPTIM_CUBLAS_COMPUTE_32F ? p.a.type == PANOPTIM_CUBLAS_R_32F || half
        : p.compute == PANOPTIM_CUBLAS_COMPUTE_32F_FAST_TF32 && p.a.type == PANOPTIM_CUBLAS_R_32F;
    return alike && supported ? PANOPTIM_CUBLAS_SUCCESS : PANOPTIM_CUBLAS_NOT_SUPPORTED;
}

double scalar(const void* value, int compute) {
    return compute == PANOPTIM_CUBLAS_COMPUTE_64F ? *(const double*)value : *(const float*)value;
}

int submit(Handle* handle, Product product, int32_t transa, int32_t transb, const void* alpha, const void* beta) {
    product.transpose_a = transa == PANOPTIM_CUBLAS_OP_T;
    product.transpose_b = transb == PANOPTIM_CUBLAS_OP_T;
    const int refused = check(handle, product, transa, transb, alpha, beta);
    if (refused != PANOPTIM_CUBLAS_SUCCESS) return refused;
    if (product.m == 0 || product.n == 0 || product.batch == 0) return PANOPTIM_CUBLAS_SUCCESS;
    product.alpha = scalar(alpha, product.compute);
    product.beta = scalar(beta, product.compute);
    int capturing = 0;
    if (cuStreamIsCapturing(handle->stream, &capturing) != 0) return PANOPTIM_CUBLAS_EXECUTION_FAILED;
    // It would have to allocate some; NVIDIA's does, and a graph of it then holds that.
    if (capturing != 0 && handle->workspace == nullptr) return PANOPTIM_CUBLAS_EXECUTION_FAILED;
    product.workspace = (uint64_t)handle->workspace;
    product.workspace_bytes = handle->workspace_bytes;
    const int result = panoptim_test_submit(handle->stream, [](void* data) { return ((const Product*)data)->run(); }, new Product(product),
        [](void* data) { delete (Product*)data; });
    return result == 0 ? PANOPTIM_CUBLAS_SUCCESS : PANOPTIM_CUBLAS_EXECUTION_FAILED;
}

}  // namespace

#define CUBLAS extern "C" __attribute__((visibility("default")))

CUBLAS int32_t cublasCreate_v2(void** handle) {
    void* context = nullptr;
    if (handle == nullptr) return PANOPTIM_CUBLAS_INVALID_VALUE;
    if (cuCtxGetCurrent(&context) != 0 || context == nullptr) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    Handle* made = new Handle;
    const std::lock_guard<std::mutex> lock(mutex);
    handles.insert(made);
    *handle = made;
    return PANOPTIM_CUBLAS_SUCCESS;
}

CUBLAS int32_t cublasDestroy_v2(void* handle) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (handles.erase((Handle*)handle) == 0) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    delete (Handle*)handle;
    return PANOPTIM_CUBLAS_SUCCESS;
}

CUBLAS int32_t cublasGetProperty(int32_t property, int32_t* value) {
    if (property < 0 || property > 2 || value == nullptr) return PANOPTIM_CUBLAS_INVALID_VALUE;
    *value = property == PANOPTIM_CUBLAS_MAJOR_VERSION ? CUBLAS_MAJOR : 0;
    return PANOPTIM_CUBLAS_SUCCESS;
}

CUBLAS const char* cublasGetStatusName(int32_t status) {
    switch (status) {
        case PANOPTIM_CUBLAS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
        case PANOPTIM_CUBLAS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case PANOPTIM_CUBLAS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
        case PANOPTIM_CUBLAS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
        case PANOPTIM_CUBLAS_ARCH_MISMATCH: return "CUBLAS_STATUS_ARCH_MISMATCH";
        case PANOPTIM_CUBLAS_EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case INTERNAL_ERROR: return "CUBLAS_STATUS_INTERNAL_ERROR";
        case PANOPTIM_CUBLAS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
        default: return "unknown status";
    }
}

// Takes the workspace away, too.
CUBLAS int32_t cublasSetStream_v2(void* handle, void* stream) {
    if (!lives((Handle*)handle)) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    ((Handle*)handle)->stream = stream;
    ((Handle*)handle)->workspace = nullptr;
    ((Handle*)handle)->workspace_bytes = 0;
    return PANOPTIM_CUBLAS_SUCCESS;
}

CUBLAS int32_t cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
    if (!lives((Handle*)handle)) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    if ((uint64_t)workspace % 256 != 0) return PANOPTIM_CUBLAS_INVALID_VALUE;
    ((Handle*)handle)->workspace = workspace;
    ((Handle*)handle)->workspace_bytes = bytes;
    return PANOPTIM_CUBLAS_SUCCESS;
}

CUBLAS int32_t cublasSetMathMode(void* handle, int32_t mode) {
    if (!lives((Handle*)handle)) return PANOPTIM_CUBLAS_NOT_INITIALIZED;
    ((Handle*)handle)->mode = mode;
    return PANOPTIM_CUBLAS_SUCCESS;
}

// Each with 64-bit sizes, and with 32-bit ones.
#define GEMM(name, INT)                                                                                                                  \
    CUBLAS int32_t name(void* handle, int32_t transa, int32_t transb, INT m, INT n, INT k, const void* alpha, const void* a,              \
                        int32_t a_type, INT lda, const void* b, int32_t b_type, INT ldb, const void* beta, void* c, int32_t c_type,       \
                        INT ldc, int32_t compute_type, int32_t) {                                                                        \
        return submit((Handle*)handle, {false, false, false, m, n, k, 1, 0, 0, {(uint64_t)a, a_type, lda, 0},                             \
            {(uint64_t)b, b_type, ldb, 0}, {(uint64_t)c, c_type, ldc, 0}, compute_type, 0, 0}, transa, transb, alpha, beta);              \
    }
GEMM(cublasGemmEx, int32_t)
GEMM(cublasGemmEx_64, int64_t)

#define GEMM_STRIDED(name, INT)                                                                                                          \
    CUBLAS int32_t name(void* handle, int32_t transa, int32_t transb, INT m, INT n, INT k, const void* alpha, const void* a,              \
                        int32_t a_type, INT lda, int64_t stride_a, const void* b, int32_t b_type, INT ldb, int64_t stride_b,              \
                        const void* beta, void* c, int32_t c_type, INT ldc, int64_t stride_c, INT batch, int32_t compute_type, int32_t) { \
        return submit((Handle*)handle, {false, false, false, m, n, k, batch, 0, 0, {(uint64_t)a, a_type, lda, stride_a},                  \
            {(uint64_t)b, b_type, ldb, stride_b}, {(uint64_t)c, c_type, ldc, stride_c}, compute_type, 0, 0}, transa, transb, alpha, beta); \
    }
GEMM_STRIDED(cublasGemmStridedBatchedEx, int32_t)
GEMM_STRIDED(cublasGemmStridedBatchedEx_64, int64_t)

#define GEMM_BATCHED(name, INT)                                                                                                          \
    CUBLAS int32_t name(void* handle, int32_t transa, int32_t transb, INT m, INT n, INT k, const void* alpha, const void* const* a,       \
                        int32_t a_type, INT lda, const void* const* b, int32_t b_type, INT ldb, const void* beta, void* const* c,         \
                        int32_t c_type, INT ldc, INT batch, int32_t compute_type, int32_t) {                                             \
        return submit((Handle*)handle, {false, false, true, m, n, k, batch, 0, 0, {(uint64_t)a, a_type, lda, 0},                          \
            {(uint64_t)b, b_type, ldb, 0}, {(uint64_t)c, c_type, ldc, 0}, compute_type, 0, 0}, transa, transb, alpha, beta);              \
    }
GEMM_BATCHED(cublasGemmBatchedEx, int32_t)
GEMM_BATCHED(cublasGemmBatchedEx_64, int64_t)

// That the types of cublas_calls.h are these functions'.
static const panoptim_cublas_gemm gemm [[maybe_unused]] = cublasGemmEx_64;
static const panoptim_cublas_gemm_strided gemm_strided [[maybe_unused]] = cublasGemmStridedBatchedEx_64;
static const panoptim_cublas_gemm_batched gemm_batched [[maybe_unused]] = cublasGemmBatchedEx_64;
