// Sums that do not depend on who computes which part. A tensor is cut into leaves of PANOPTIM_LEAF elements, counted from its
// global element 0, or from the beginning of each row. Within a leaf, in double precision, element j is added to lane
// j % PANOPTIM_LANES, in order, and then the upper half of the lanes to the lower, until one is left. The leaves' sums are
// added as integers, exactly, so that their order does not matter; the Java twin is io.panoptim.engine.reference.LeafSum.
#pragma once
#include "power.h"

namespace panoptim {

// To be shown each number twice: first for the largest exponent, e, and whether all are finite; then to add it as a multiple
// of 2^(e - 90), cut off towards zero. 2^36 of them fit.
class ExactSum {
public:
    PANOPTIM_INLINE void show(double x) {
        int e = exponent(x);
        special = e == SPECIAL ? special + x : special;
        largest = e > largest ? e : largest;
    }

    PANOPTIM_INLINE void add(double x) {
        const int shift = exponent(x) - largest + FRACTION - 52;
        const uint64_t bits = bits_of(x);
        const uint64_t fraction = (bits & ((1ull << 52) - 1)) | (uint64_t)((bits >> 52 & SPECIAL) != 0) << 52;
        const __int128 magnitude = shift >= 0 ? (__int128)fraction << shift : shift > -64 ? (__int128)(fraction >> -shift) : 0;
        sum += bits >> 63 ? -magnitude : magnitude;
    }

    // The same with what another one was shown, or has added after being shown the same.
    PANOPTIM_INLINE void show(const ExactSum& other) {
        special += other.largest == SPECIAL ? other.special : 0;
        largest = other.largest > largest ? other.largest : largest;
    }
    PANOPTIM_INLINE void add(const ExactSum& other) { sum += other.sum; }

    // The sum, rounded once; infinite or NaN if a number was.
    PANOPTIM_INLINE double result() const {
        return largest == SPECIAL ? special : scaled((double)sum, largest - BIAS - FRACTION);
    }

private:
    static constexpr int SPECIAL = 0x7ff, BIAS = 1023, FRACTION = 90;

    int largest = 1;
    double special = 0;
    __int128 sum = 0;

    // Biased; that of a subnormal number is the smallest.
    PANOPTIM_INLINE static int exponent(double x) {
        int e = (int)(bits_of(x) >> 52 & SPECIAL);
        return e > 1 ? e : 1;
    }

    // x * 2^e: three exact products, but for a subnormal result.
    PANOPTIM_INLINE static double scaled(double x, int e) {
        const int part = e / 3;
        return x * power(part) * power(part) * power(e - 2 * part);
    }

    PANOPTIM_INLINE static double power(int e) { return from_bits((uint64_t)(BIAS + e) << 52); }
};

// The sum of some numbers, of which each lies at a distance from the one before.
PANOPTIM_INLINE double exact_sum(const double* numbers, uint64_t count, uint64_t distance) {
    ExactSum exact;
    for (uint64_t i = 0; i < count; ++i) exact.show(numbers[i * distance]);
    for (uint64_t i = 0; i < count; ++i) exact.add(numbers[i * distance]);
    return exact.result();
}

// What whole columns are reduced to: an element's term, and how two of them come together in a lane.
struct Dot {
    PANOPTIM_INLINE static double term(double left, double right, double) { return left * right; }
    PANOPTIM_INLINE static double join(double a, double b) { return a + b; }
};

struct AbsoluteSum {
    PANOPTIM_INLINE static double term(double left, double, double) { return __builtin_fabs(left); }
    PANOPTIM_INLINE static double join(double a, double b) { return a + b; }
};

// NaN if any element is.
struct AbsoluteMaximum {
    PANOPTIM_INLINE static double term(double left, double, double) { return __builtin_fabs(left); }
    PANOPTIM_INLINE static double join(double a, double b) { return maximum(a, b); }
};

// NaN if any element is.
struct AbsolutePower {
    PANOPTIM_INLINE static double term(double left, double, double p) { return pow(__builtin_fabs(left), p); }
    PANOPTIM_INLINE static double join(double a, double b) { return a + b; }
};

}  // namespace panoptim
