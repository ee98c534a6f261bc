// The CUDA built-ins that the kernels use, for a host compiler: included before a .cu file, it makes of it functions that block.cpp
// runs, each thread of a block as a fiber. One block runs at a time, so what its threads share is a static variable.
#pragma once
#include <stdint.h>
#include <string.h>

#include "block.h"

#define __global__ __attribute__((visibility("default")))
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict
#define __shared__ static

struct uint3 {
    unsigned x, y, z;
};
// Those of the fiber that runs.
extern uint3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { panoptim_cuda::wait_for_block(); }
inline void __syncwarp(unsigned mask = ~0u) { panoptim_cuda::exchange(mask, 0); }
// One fiber runs at a time, on one thread.
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace panoptim_cuda {

// The value that a lane gives, or this lane's own where there is no such lane.
template <class T>
T shuffle(unsigned mask, T value, int lane) {
    static_assert(sizeof(T) <= sizeof(uint64_t), "as on the device");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    const uint64_t* given = exchange(mask, bits);
    if (lane < 0 || lane >= WARP) return value;
    if (!(mask >> lane & 1)) fault("a shuffle from a lane that its mask lacks");
    memcpy(&value, &given[lane], sizeof value);
    return value;
}

inline unsigned ballot(unsigned mask, bool predicate) {
    const uint64_t* given = exchange(mask, predicate);
    unsigned lanes = 0;
    for (int lane = 0; lane < WARP; lane++) {
        if (mask >> lane & 1) lanes |= (unsigned)given[lane] << lane;
    }
    return lanes;
}

template <class T, class Operation>
T atomically(T* place, Operation operation) {
    const T old = *place;
    *place = operation(old);
    return old;
}

}  // namespace panoptim_cuda

template <class T>
T __shfl_sync(unsigned mask, T value, int lane) { return panoptim_cuda::shuffle(mask, value, lane & 31); }
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) { return panoptim_cuda::shuffle(mask, value, panoptim_cuda::lane() + (int)delta); }
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) { return panoptim_cuda::shuffle(mask, value, panoptim_cuda::lane() - (int)delta); }
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) { return panoptim_cuda::shuffle(mask, value, panoptim_cuda::lane() ^ lanes); }
inline unsigned __ballot_sync(unsigned mask, bool predicate) { return panoptim_cuda::ballot(mask, predicate); }
inline bool __any_sync(unsigned mask, bool predicate) { return panoptim_cuda::ballot(mask, predicate) != 0; }
inline bool __all_sync(unsigned mask, bool predicate) { return panoptim_cuda::ballot(mask, predicate) == mask; }

template <class T, class V>
T atomicAdd(T* place, V value) { return panoptim_cuda::atomically(place, [&](T old) { return (T)(old + value); }); }
template <class T, class V>
T atomicMax(T* place, V value) { return panoptim_cuda::atomically(place, [&](T old) { return old > (T)value ? old : (T)value; }); }
template <class T, class V>
T atomicMin(T* place, V value) { return panoptim_cuda::atomically(place, [&](T old) { return old < (T)value ? old : (T)value; }); }
template <class T, class V>
T atomicOr(T* place, V value) { return panoptim_cuda::atomically(place, [&](T old) { return (T)(old | value); }); }
template <class T, class V>
T atomicAnd(T* place, V value) { return panoptim_cuda::atomically(place, [&](T old) { return (T)(old & value); }); }
template <class T, class V>
T atomicExch(T* place, V value) { return panoptim_cuda::atomically(place, [&](T) { return (T)value; }); }
template <class T, class V, class W>
T atomicCAS(T* place, V expected, W value) {
    return panoptim_cuda::atomically(place, [&](T old) { return old == (T)expected ? (T)value : old; });
}
inline unsigned atomicInc(unsigned* place, unsigned limit) {
    return panoptim_cuda::atomically(place, [&](unsigned old) { return old >= limit ? 0 : old + 1; });
}
