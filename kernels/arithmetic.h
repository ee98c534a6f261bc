// The arithmetic that update rules are written in: each function is one torch call as a fixed sequence of IEEE
// operations, the same on every processor. Compiled by g++ (-ffp-contract=off), nvcc and NVRTC (-fmad=false);
// the Java twin is io.panoptim.engine.Arithmetic.
#pragma once

#if defined(__CUDACC__)
#define PANOPTIM_INLINE __host__ __device__ __forceinline__
#else
#define PANOPTIM_INLINE inline __attribute__((always_inline))
#endif

namespace panoptim {

PANOPTIM_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
PANOPTIM_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
PANOPTIM_INLINE float sqrt(float a) { return __builtin_sqrtf(a); }
PANOPTIM_INLINE double sqrt(double a) { return __builtin_sqrt(a); }
PANOPTIM_INLINE float abs(float a) { return __builtin_fabsf(a); }
PANOPTIM_INLINE double abs(double a) { return __builtin_fabs(a); }

// a.lerp(b, w): torch tests the weight already rounded to the tensor's type.
template <class T>
PANOPTIM_INLINE T lerp(T a, T b, T w) {
    int low = (w < 0 ? -w : w) < T(0.5);
    return fma(low ? w : w - T(1), b - a, low ? a : b);
}

// torch.maximum: the larger one, NaN if either is.
template <class T>
PANOPTIM_INLINE T maximum(T a, T b) {
    T larger = a > b ? a : b;
    return a == a ? larger : a;
}

// torch.clamp: NaN stays NaN.
template <class T>
PANOPTIM_INLINE T clamp(T a, T low, T high) {
    T raised = a < low ? low : a;
    return raised > high ? high : raised;
}

// a.addcdiv(b, c, value=s): the quotient is rounded before the sum.
template <class T>
PANOPTIM_INLINE T addcdiv(T a, T b, T c, T s) {
    return a + (s * b) / c;
}

// s / a, which torch takes for a reciprocal and a product.
template <class T>
PANOPTIM_INLINE T reciprocal_times(T a, T s) {
    return (T(1) / a) * s;
}

// a.mul(decay).addcmul(b, c, value=s): the decayed average of a product.
template <class T>
PANOPTIM_INLINE T average(T a, T decay, T b, T c, T s) {
    return fma(s * b, c, a * decay);
}

// a.mul(decay).add(b, alpha=s): the decayed average of a value.
template <class T>
PANOPTIM_INLINE T average(T a, T decay, T b, T s) {
    return fma(s, b, a * decay);
}

// a.sign(): 1 or -1, and 0 for zeros and NaN.
template <class T>
PANOPTIM_INLINE T sign(T a) {
    return a > 0 ? T(1) : (a < 0 ? T(-1) : T(0));
}

// How every rule of torch begins: the gradient's sign is turned to maximize, and the L2 penalty added.
template <class Scalars, class T>
PANOPTIM_INLINE T regularized(const Scalars& h, T p, T g) {
    g = h.maximize ? -g : g;
    return h.l2 ? fma(h.weight_decay, p, g) : g;
}

}  // namespace panoptim
