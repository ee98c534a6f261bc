// How numbers are stored on CUDA, and what they are computed in.
#pragma once
#include "half.h"
#include "table.h"

namespace panoptim {

struct OfFloat32 {
    typedef float Storage;
    typedef float Compute;
    static __device__ float load(float x) { return x; }
    static __device__ float store(float x) { return x; }
};
struct OfFloat64 {
    typedef double Storage;
    typedef double Compute;
    static __device__ double load(double x) { return x; }
    static __device__ double store(double x) { return x; }
};
struct OfBFloat16 {
    typedef unsigned short Storage;
    typedef float Compute;
    static __device__ float load(unsigned short x) { return from_bfloat16(x); }
    static __device__ unsigned short store(float x) { return (unsigned short)to_bfloat16(x); }
};
struct OfFloat16 {
    typedef unsigned short Storage;
    typedef float Compute;
    static __device__ float load(unsigned short x) { return from_float16(x); }
    static __device__ unsigned short store(float x) { return (unsigned short)to_float16(x); }
};

// Calls something with the way in which numbers of a type are stored, of those that are computed in T.
template <class T, class Body>
__device__ void with_storage(uint32_t dtype, Body body) {
    if constexpr (sizeof(T) == sizeof(double)) {
        body(OfFloat64());
    } else {
        switch (dtype) {
            case PANOPTIM_FLOAT32: return body(OfFloat32());
            case PANOPTIM_BFLOAT16: return body(OfBFloat16());
            case PANOPTIM_FLOAT16: return body(OfFloat16());
        }
    }
}

}  // namespace panoptim
