// Operations on each element t of a column, with the element s of another where they have a source: the arithmetic of the torch call
// named. Coefficients come rounded to the compute type; the Java twin is io.panoptim.engine.reference.Columns.
#pragma once
#include "arithmetic.h"

namespace panoptim::operation {

// t.mul_(a)
struct Scale {
    static constexpr bool SOURCE = false;
    template <class T>
    static PANOPTIM_INLINE T apply(T t, T, T a, T) { return t * a; }
};

// t.lerp_(s, a)
struct Lerp {
    static constexpr bool SOURCE = true;
    template <class T>
    static PANOPTIM_INLINE T apply(T t, T s, T a, T) { return lerp(t, s, a); }
};

// t.add_(s, alpha=a)
struct Axpy {
    static constexpr bool SOURCE = true;
    template <class T>
    static PANOPTIM_INLINE T apply(T t, T s, T a, T) { return fma(a, s, t); }
};

// t.clamp_(a, b): a NaN stays, a zero keeps its sign, and where the bounds contradict each other the upper one holds.
struct Clamp {
    static constexpr bool SOURCE = false;
    template <class T>
    static PANOPTIM_INLINE T apply(T t, T, T a, T b) { return clamp(t, a, b); }
};

}  // namespace panoptim::operation
