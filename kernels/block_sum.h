// exact_sum of leaf.h by a whole CUDA block, for step.cu and columns.cu.
#pragma once
#include "leaf.h"

namespace panoptim {

// All threads call it with what shows each number that is theirs; the first one has the result, and may write to the numbers then.
template <int THREADS, class Each>
__device__ double block_sum(Each each) {
    alignas(ExactSum) __shared__ char memory[THREADS * sizeof(ExactSum)];
    ExactSum* exact = (ExactSum*)memory;
    ExactSum own;
    each([&](double x) { own.show(x); });
    exact[threadIdx.x] = own;
    __syncthreads();
    for (int i = 0; i < THREADS; i++) own.show(exact[i]);
    __syncthreads();
    each([&](double x) { own.add(x); });
    exact[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int i = 1; i < THREADS; i++) own.add(exact[i]);
    }
    __syncthreads();  // before the memory is used again
    return own.result();
}

template <int THREADS>
__device__ double block_sum(const double* numbers, uint64_t count, uint64_t distance) {
    return block_sum<THREADS>([=](auto take) {
        for (uint64_t i = threadIdx.x; i < count; i += THREADS) take(numbers[i * distance]);
    });
}

}  // namespace panoptim
