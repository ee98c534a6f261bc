// What Java calls of cuBLAS, 12.0 or newer, as types of pointers to functions: the library's file is found at run time, and two versions
// of it can be in one process. It stands for cublas_v2.h, so that bindings and tests need no CUDA toolkit; native/cublas_check.c compares
// the two where there is one.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum panoptim_cublas {
    PANOPTIM_CUBLAS_OP_N = 0,
    PANOPTIM_CUBLAS_OP_T = 1,
    PANOPTIM_CUBLAS_R_32F = 0,
    PANOPTIM_CUBLAS_R_64F = 1,
    PANOPTIM_CUBLAS_R_16F = 2,
    PANOPTIM_CUBLAS_R_16BF = 14,
    PANOPTIM_CUBLAS_COMPUTE_32F = 68,
    PANOPTIM_CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
    PANOPTIM_CUBLAS_COMPUTE_64F = 70,
    PANOPTIM_CUBLAS_GEMM_DEFAULT = -1,
    PANOPTIM_CUBLAS_DISALLOW_REDUCED_PRECISION_REDUCTION = 16,
    PANOPTIM_CUBLAS_SUCCESS = 0,
    PANOPTIM_CUBLAS_NOT_INITIALIZED = 1,
    PANOPTIM_CUBLAS_ALLOC_FAILED = 3,
    PANOPTIM_CUBLAS_INVALID_VALUE = 7,
    PANOPTIM_CUBLAS_ARCH_MISMATCH = 8,
    PANOPTIM_CUBLAS_EXECUTION_FAILED = 13,
    PANOPTIM_CUBLAS_NOT_SUPPORTED = 15,
    PANOPTIM_CUBLAS_MAJOR_VERSION = 0,
    PANOPTIM_CUBLAS_MINOR_VERSION = 1,
    PANOPTIM_CUBLAS_PATCH_LEVEL = 2,
};

typedef int32_t (*panoptim_cublas_create)(void** handle);
typedef int32_t (*panoptim_cublas_destroy)(void* handle);
typedef int32_t (*panoptim_cublas_get_property)(int32_t property, int32_t* value);
typedef const char* (*panoptim_cublas_get_status_name)(int32_t status);
typedef int32_t (*panoptim_cublas_set_stream)(void* handle, void* stream);
typedef int32_t (*panoptim_cublas_set_workspace)(void* handle, void* workspace, size_t bytes);
typedef int32_t (*panoptim_cublas_set_math_mode)(void* handle, int32_t mode);
// With the 64-bit sizes of version 12.
typedef int32_t (*panoptim_cublas_gemm)(void* handle, int32_t transa, int32_t transb, int64_t m, int64_t n, int64_t k, const void* alpha,
                                        const void* a, int32_t a_type, int64_t lda, const void* b, int32_t b_type, int64_t ldb,
                                        const void* beta, void* c, int32_t c_type, int64_t ldc, int32_t compute_type, int32_t algorithm);
typedef int32_t (*panoptim_cublas_gemm_strided)(void* handle, int32_t transa, int32_t transb, int64_t m, int64_t n, int64_t k,
                                                const void* alpha, const void* a, int32_t a_type, int64_t lda, int64_t stride_a,
                                                const void* b, int32_t b_type, int64_t ldb, int64_t stride_b, const void* beta, void* c,
                                                int32_t c_type, int64_t ldc, int64_t stride_c, int64_t batch, int32_t compute_type,
                                                int32_t algorithm);
typedef int32_t (*panoptim_cublas_gemm_batched)(void* handle, int32_t transa, int32_t transb, int64_t m, int64_t n, int64_t k,
                                                const void* alpha, const void* const* a, int32_t a_type, int64_t lda,
                                                const void* const* b, int32_t b_type, int64_t ldb, const void* beta, void* const* c,
                                                int32_t c_type, int64_t ldc, int64_t batch, int32_t compute_type, int32_t algorithm);
