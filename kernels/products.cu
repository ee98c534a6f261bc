// What a matrix product takes besides cuBLAS: C times a factor where the result lies elsewhere or there is nothing to multiply, and the
// upper half of a symmetric result and the multiple of the identity. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "storage.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// The only argument of these kernels. Matrices are row-major.
struct ProductArguments {
    uint64_t d, c;                  // addresses of the first matrices or, of matrices that lie anywhere, of a table of addresses
    uint64_t stride_d, stride_c;    // from matrix to matrix, in elements
    uint64_t leading_d, leading_c;  // from row to row
    uint64_t rows, columns, batch;
    double factor;                  // of C
    double gamma;                   // of the identity
    uint32_t tables;                // whether d and c are tables
    uint32_t reserved;
};
static_assert(sizeof(ProductArguments) == 96, "as Java writes them");

template <class Storage>
__device__ Storage* matrix(uint64_t address, uint64_t stride, const ProductArguments& arguments, uint64_t index) {
    return arguments.tables ? (Storage*)((const uint64_t*)address)[index] : (Storage*)address + index * stride;
}

// D = factor * C, which is not read where the factor is 0. One row for a block at a time.
template <class T>
__device__ void scale(const ProductArguments& arguments) {
    typedef typename T::Storage Storage;
    typedef typename T::Compute Compute;
    const Compute factor = (Compute)arguments.factor;
    for (uint64_t row = blockIdx.x; row < arguments.batch * arguments.rows; row += gridDim.x) {
        const uint64_t index = row / arguments.rows, i = row % arguments.rows;
        Storage* d = matrix<Storage>(arguments.d, arguments.stride_d, arguments, index) + i * arguments.leading_d;
        const Storage* c = matrix<Storage>(arguments.c, arguments.stride_c, arguments, index) + i * arguments.leading_c;
        for (uint64_t j = threadIdx.x; j < arguments.columns; j += PANOPTIM_THREADS) {
            d[j] = T::store(factor == 0 ? Compute(0) : factor * T::load(c[j]));
        }
    }
}

template <class T>
__device__ void add(typename T::Storage& element, double gamma) {
    typedef typename T::Compute Compute;
    element = T::store(T::load(element) + (Compute)gamma);
}

// D += gamma * I
template <class T>
__device__ void identity(const ProductArguments& arguments) {
    typedef typename T::Storage Storage;
    const uint64_t size = arguments.rows < arguments.columns ? arguments.rows : arguments.columns;
    for (uint64_t k = (uint64_t)blockIdx.x * PANOPTIM_THREADS + threadIdx.x; k < arguments.batch * size;
            k += (uint64_t)gridDim.x * PANOPTIM_THREADS) {
        const uint64_t i = k % size;
        add<T>(matrix<Storage>(arguments.d, arguments.stride_d, arguments, k / size)[i * (arguments.leading_d + 1)], arguments.gamma);
    }
}

constexpr uint32_t TILE = 32;

// What is below the diagonal is written above it, too; then D += gamma * I. One tile for a block at a time, through shared memory, so
// that reads and writes are of whole lines.
template <class T>
__device__ void mirror(const ProductArguments& arguments) {
    typedef typename T::Storage Storage;
    __shared__ Storage tile[TILE][TILE + 1];
    const uint64_t n = arguments.rows, tiles = (n + TILE - 1) / TILE;
    const uint32_t column = threadIdx.x % TILE;
    for (uint64_t item = blockIdx.x; item < arguments.batch * tiles * tiles; item += gridDim.x) {
        const uint64_t top = item / tiles % tiles * TILE, left = item % tiles * TILE;
        if (left > top) continue;
        Storage* d = matrix<Storage>(arguments.d, arguments.stride_d, arguments, item / (tiles * tiles));
        for (uint32_t row = threadIdx.x / TILE; row < TILE; row += PANOPTIM_THREADS / TILE) {
            if (top + row < n && left + column < n) tile[row][column] = d[(top + row) * arguments.leading_d + left + column];
        }
        __syncthreads();
        for (uint32_t row = threadIdx.x / TILE; row < TILE; row += PANOPTIM_THREADS / TILE) {
            if (left + row >= n || top + column >= n) continue;
            Storage* target = &d[(left + row) * arguments.leading_d + top + column];
            if (left + row < top + column) *target = tile[column][row];
            if (left + row == top + column && arguments.gamma != 0) add<T>(*target, arguments.gamma);
        }
        __syncthreads();  // the next tile comes into the same memory
    }
}

}  // namespace panoptim

#define PANOPTIM_PRODUCT_KERNEL(name, body)                                                      \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS) panoptim_product_##name(      \
            const __grid_constant__ panoptim::ProductArguments arguments) {                      \
        body;                                                                                    \
    }
#define PANOPTIM_PRODUCT_KERNELS(dtype, type)                                                    \
    PANOPTIM_PRODUCT_KERNEL(scale_##dtype, panoptim::scale<panoptim::type>(arguments))           \
    PANOPTIM_PRODUCT_KERNEL(identity_##dtype, panoptim::identity<panoptim::type>(arguments))     \
    PANOPTIM_PRODUCT_KERNEL(mirror_##dtype, panoptim::mirror<panoptim::type>(arguments))

PANOPTIM_PRODUCT_KERNELS(float32, OfFloat32)
PANOPTIM_PRODUCT_KERNELS(float64, OfFloat64)
PANOPTIM_PRODUCT_KERNELS(bfloat16, OfBFloat16)
PANOPTIM_PRODUCT_KERNELS(float16, OfFloat16)
