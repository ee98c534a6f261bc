// Kernels that do what kernels must not, and some of the built-ins that step.cu does not use: tests of the shim itself.
#include "builtins.h"
#include "kernels.h"

extern "C" __global__ void panoptim_test_barrier_not_reached(unsigned threads) {
    if (threadIdx.x < threads) __syncthreads();
}

extern "C" __global__ void panoptim_test_shuffle_not_reached(unsigned lanes) {
    if (threadIdx.x % 32 < lanes) __shfl_down_sync(~0u, 1, 1);
}

// Two halves of a warp may, each with its own mask.
extern "C" __global__ void panoptim_test_divergent_shuffles(unsigned* sums) {
    const unsigned half = threadIdx.x % 32 / 16;
    const unsigned mask = half ? 0xffff0000u : 0x0000ffffu;
    unsigned sum = threadIdx.x;
    if (half) {
        for (int distance = 8; distance > 0; distance /= 2) sum += __shfl_xor_sync(mask, sum, distance);
    } else {
        for (int distance = 1; distance < 16; distance *= 2) sum += __shfl_xor_sync(mask, sum, distance);
    }
    sums[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

extern "C" __global__ void panoptim_test_write(char* at) {
    if (threadIdx.x == 0) *at = 1;
}

// The last block to be done, by its ticket, adds up what all have counted.
extern "C" __global__ void panoptim_test_tickets(unsigned* counts, unsigned* ticket, unsigned* total) {
    __shared__ bool last;
    atomicAdd(&counts[blockIdx.x], threadIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x < gridDim.x) atomicAdd(total, counts[threadIdx.x]);
}

namespace panoptim_cuda {

static const char* unchecked(void**, uint64_t) { return nullptr; }

#define ENTRY(kernel) Entry<kernel>::of(#kernel, unchecked)
static const Kernel kernels[] = {
    ENTRY(panoptim_test_barrier_not_reached), ENTRY(panoptim_test_shuffle_not_reached), ENTRY(panoptim_test_divergent_shuffles),
    ENTRY(panoptim_test_write),               ENTRY(panoptim_test_tickets),
};
extern const Part faulty_part;
const Part faulty_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
