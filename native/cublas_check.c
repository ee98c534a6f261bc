// Whether cublas_calls.h says what NVIDIA's header does; compiled by bindings.sh, which wants no warning of it.
#include <cublas_v2.h>

#include "cublas_calls.h"

#define SAME(ours, theirs) _Static_assert((int)PANOPTIM_CUBLAS_##ours == (int)theirs, #theirs)
SAME(OP_N, CUBLAS_OP_N);
SAME(OP_T, CUBLAS_OP_T);
SAME(R_32F, CUDA_R_32F);
SAME(R_64F, CUDA_R_64F);
SAME(R_16F, CUDA_R_16F);
SAME(R_16BF, CUDA_R_16BF);
SAME(COMPUTE_32F, CUBLAS_COMPUTE_32F);
SAME(COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(COMPUTE_64F, CUBLAS_COMPUTE_64F);
SAME(GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT);
SAME(DISALLOW_REDUCED_PRECISION_REDUCTION, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
SAME(SUCCESS, CUBLAS_STATUS_SUCCESS);
SAME(NOT_INITIALIZED, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED);
SAME(INVALID_VALUE, CUBLAS_STATUS_INVALID_VALUE);
SAME(ARCH_MISMATCH, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(EXECUTION_FAILED, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(MAJOR_VERSION, MAJOR_VERSION);
SAME(MINOR_VERSION, MINOR_VERSION);
SAME(PATCH_LEVEL, PATCH_LEVEL);

// -Wcast-function-type compares parameters by their size and kind.
const panoptim_cublas_create create = (panoptim_cublas_create)cublasCreate_v2;
const panoptim_cublas_destroy destroy = (panoptim_cublas_destroy)cublasDestroy_v2;
const panoptim_cublas_get_property get_property = (panoptim_cublas_get_property)cublasGetProperty;
const panoptim_cublas_get_status_name get_status_name = (panoptim_cublas_get_status_name)cublasGetStatusName;
const panoptim_cublas_set_stream set_stream = (panoptim_cublas_set_stream)cublasSetStream_v2;
const panoptim_cublas_set_workspace set_workspace = (panoptim_cublas_set_workspace)cublasSetWorkspace_v2;
const panoptim_cublas_set_math_mode set_math_mode = (panoptim_cublas_set_math_mode)cublasSetMathMode;
const panoptim_cublas_gemm gemm = (panoptim_cublas_gemm)cublasGemmEx_64;
const panoptim_cublas_gemm_strided gemm_strided = (panoptim_cublas_gemm_strided)cublasGemmStridedBatchedEx_64;
const panoptim_cublas_gemm_batched gemm_batched = (panoptim_cublas_gemm_batched)cublasGemmBatchedEx_64;
