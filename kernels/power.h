// Cube roots and powers, of which no processor has an instruction and every library its own bits, as fixed sequences of IEEE
// operations. They hold no table and no branch, so that loops over them vectorise; the Java twin is
// io.panoptim.engine.Powers, whose test states and checks the bounds.
#pragma once
#include "bits.h"

namespace panoptim {

// What the functions below need to know of a type. A constant that goes on in ..._LOW is their sum.
template <class T>
struct Format;

template <>
struct Format<float> {
    using Word = uint32_t;
    static constexpr int MANTISSA = 23, CUT = 9;
    static constexpr float INTEGER = 0x1p23f, NEAREST = 0x1.8p23f;  // added to an integer, put it into the lowest bits
    static constexpr float BIAS = 127, SMALLEST = 0x1p-126f, LARGEST = 0x1.fffffep127f;
    static constexpr Word NOT_A_NUMBER = 0x7fc00000;
    static constexpr float FAR = 0x1p30f, GUESS = 2773250;
    static constexpr float LIMIT = 192;  // powers of 2 beyond it are infinite or 0
    static constexpr float ROOT_HALF = 0x1.6a09e6p-1f;
    static constexpr float TWO_OVER_LN2 = 0x1.715476p+1f, TWO_OVER_LN2_LOW = 0x1.4ae0cp-25f;
    static constexpr float THIRD = 0x1.555556p-2f, THIRD_LOW = -0x1.555556p-27f;
    static constexpr float LN2 = 0x1.62e43p-1f, LN2_LOW = -0x1.05c61p-29f;
};

template <>
struct Format<double> {
    using Word = uint64_t;
    static constexpr int MANTISSA = 52, CUT = 32;
    static constexpr double INTEGER = 0x1p52, NEAREST = 0x1.8p52;
    static constexpr double BIAS = 1023, SMALLEST = 0x1p-1022, LARGEST = 0x1.fffffffffffffp1023;
    static constexpr Word NOT_A_NUMBER = 0x7ff8000000000000;
    static constexpr double FAR = 0x1p200, GUESS = 1430186749;
    static constexpr double LIMIT = 1280;
    static constexpr double ROOT_HALF = 0x1.6a09e667f3bcdp-1;
    static constexpr double TWO_OVER_LN2 = 0x1.71547652b82fep+1, TWO_OVER_LN2_LOW = 0x1.777d0ffda0d24p-55;
    static constexpr double THIRD = 0x1.5555555555555p-2, THIRD_LOW = 0x1.5555555555555p-56;
    static constexpr double LN2 = 0x1.62e42fefa39efp-1, LN2_LOW = 0x1.abc9e3b39803fp-56;
};

// c0 + c1 x + c2 x^2 + ...
template <class T>
PANOPTIM_INLINE T polynomial(T, T c0) {
    return c0;
}
template <class T, class... More>
PANOPTIM_INLINE T polynomial(T x, T c0, More... more) {
    return fma(x, polynomial(x, more...), c0);
}

// (atanh(s) / s - 1 - z / 3) / z^2 for z = s^2 up to 0.0295.
PANOPTIM_INLINE float atanh_tail(float z) {
    return polynomial(z, 0x1.999998p-3f, 0x1.249374p-3f, 0x1.c65956p-4f, 0x1.8eb42p-4f);
}
PANOPTIM_INLINE double atanh_tail(double z) {
    return polynomial(z, 0x1.999999999999ap-3, 0x1.249249249246fp-3, 0x1.c71c71c722760p-4, 0x1.745d17417f98dp-4,
                      0x1.3b13b31189552p-4, 0x1.1110945648a3ap-4, 0x1.e20b8005aecd0p-5, 0x1.aaebe08ff935dp-5,
                      0x1.c31c5c9d35e0bp-5);
}

// (2^r - 1 - r ln 2) / r^2 for r between -0.5 and 0.5.
PANOPTIM_INLINE float exp2_tail(float r) {
    return polynomial(r, 0x1.ebfbep-3f, 0x1.c6b08ep-5f, 0x1.3b29f2p-7f, 0x1.5d874p-10f, 0x1.445da2p-13f, 0x1.00e49cp-16f);
}
PANOPTIM_INLINE double exp2_tail(double r) {
    return polynomial(r, 0x1.ebfbdff82c58fp-3, 0x1.c6b08d704a0c8p-5, 0x1.3b2ab6fba4e7fp-7, 0x1.5d87fe78a3752p-10,
                      0x1.430912f8696ffp-13, 0x1.ffcbfc70b3a86p-17, 0x1.62c0224ba36dep-20, 0x1.b524e4d575cc5p-24,
                      0x1.e4ceee7fa2ca6p-28, 0x1.e9f72fc56ec45p-32, 0x1.c4d32ed9667dfp-36);
}

// 2^n for an integer n that gives a normal number.
template <class T>
PANOPTIM_INLINE T power_of_2(T n) {
    using F = Format<T>;
    return from_bits(typename F::Word((bits_of(n + F::NEAREST) + typename F::Word(F::BIAS)) << F::MANTISSA));
}

// The cube root of a number that is not negative (else NaN), correctly rounded in float32. In float64 it could be the other
// neighbour only where the root lies within 2^-40 of a unit in the last place from the middle between two.
template <class T>
PANOPTIM_INLINE T cbrt(T x) {
    using F = Format<T>;
    using Word = typename F::Word;
    // Away from the ends of the range, where the error terms below would be inexact; an exact scale and an exact root of it.
    constexpr T LIFT = F::FAR * F::FAR * F::FAR;
    const int small = x < 1 / F::FAR, large = x > F::FAR;
    const T a = x * (small ? LIFT : (large ? 1 / LIFT : T(1)));

    // r goes to 1 / cbrt(a): a guess from the bits, off by 3.5 %, then Newton's series in 1 - a r^3 to higher order.
    const T leading = from_bits(Word(bits_of(a) >> F::CUT | bits_of(F::INTEGER))) - F::INTEGER;
    T r = from_bits(Word(bits_of(fma(leading, T(-1.0 / 3), F::GUESS + F::INTEGER)) << F::CUT));
    T rest = fma(-(a * r), r * r, T(1));
    r = fma(r * rest, polynomial(rest, T(1.0 / 3), T(2.0 / 9), T(14.0 / 81)), r);
    rest = fma(-(a * r), r * r, T(1));
    r = fma(r * rest, polynomial(rest, T(1.0 / 3), T(2.0 / 9)), r);

    // The root and what is missing of its cube, to about twice the precision.
    const T slope = r * r * T(1.0 / 3);
    T root = a * (r * r);
    root = fma(fma(-(root * root), root, a), slope, root);
    const T square = root * root, cube = square * root;
    const T missing = (a - cube) - fma(square, root, -cube) - fma(root, root, -square) * root;
    root = (root + missing * slope) * (small ? 1 / F::FAR : (large ? F::FAR : T(1)));
    return x > 0 && x <= F::LARGEST ? root : (x < 0 ? from_bits(F::NOT_A_NUMBER) : x);
}

// x^y for an x that is not negative, within 1 unit in the last place (0.8 where y is at most 3 and the result normal).
// Otherwise as C's pow: NaN for a negative x, 1 for y = 0 whatever x is.
template <class T>
PANOPTIM_INLINE T pow(T x, T y) {
    using F = Format<T>;
    using Word = typename F::Word;
    // x = 2^k m, with m between the roots of 1/2 and 2.
    const int subnormal = x < F::SMALLEST;
    const T a = subnormal ? x * F::INTEGER : x;
    const Word exponent = Word(bits_of(a) + (bits_of(T(1)) - bits_of(F::ROOT_HALF))) >> F::MANTISSA;
    const T k = from_bits(Word(exponent | bits_of(F::INTEGER))) - (F::INTEGER + F::BIAS) - (subnormal ? T(F::MANTISSA) : T(0));
    const T m = from_bits(Word(bits_of(a) - (exponent << F::MANTISSA) + bits_of(T(1))));

    // From here on a value and its ..._low are a sum of about twice the precision. log2 m = 2 / ln 2 * atanh s.
    const T above = m - 1, below = m + 1, below_low = m - (below - 1), reciprocal = 1 / below;
    const T s = above * reciprocal;
    const T s_low = fma(-s, below_low, fma(-s, below, above)) * reciprocal;
    const T z = s * s;
    const T z_low = fma(s + s, s_low, fma(s, s, -z));
    const T tail = z * atanh_tail(z);
    const T c = F::THIRD + tail;
    const T c_low = ((F::THIRD - c) + tail) + F::THIRD_LOW;
    const T t = z * c;
    const T t_low = fma(z, c_low, fma(z_low, c, fma(z, c, -t)));
    const T st = s * t;
    const T st_low = fma(s, t_low, fma(s_low, t, fma(s, t, -st)));
    const T atanh = s + st;
    const T atanh_low = ((s - atanh) + st) + (s_low + st_low);
    const T log2m = atanh * F::TWO_OVER_LN2;
    const T log2m_low = fma(atanh, F::TWO_OVER_LN2_LOW, fma(atanh_low, F::TWO_OVER_LN2, fma(atanh, F::TWO_OVER_LN2, -log2m)));
    const T log2x = k + log2m;
    const T log2x_low = ((k - log2x) + log2m) + log2m_low;

    // 2^(y log2 x) = 2^n 2^r
    T e = y * log2x;
    T e_low = fma(y, log2x_low, fma(y, log2x, -e));
    const int beyond = !(e > -F::LIMIT && e < F::LIMIT);
    e = beyond ? (e > 0 ? F::LIMIT : -F::LIMIT) : e;
    e_low = beyond ? T(0) : e_low;
    const T n = (e + F::NEAREST) - F::NEAREST;
    const T r = (e - n) + e_low;
    const T r_low = ((e - n) - r) + e_low;
    const T u = r * F::LN2;
    const T u_low = fma(r * r, exp2_tail(r), fma(r_low, F::LN2, fma(r, F::LN2_LOW, fma(r, F::LN2, -u))));
    const T sum = 1 + u;
    const T half = (n * T(0.5) + F::NEAREST) - F::NEAREST;
    const T power = (sum + (((1 - sum) + u) + u_low)) * power_of_2(half) * power_of_2(n - half);

    const T zero = x == 0 ? T(0) : x;
    const T end = y < 0 ? 1 / zero : zero;
    const T defined = x > 0 && x <= F::LARGEST ? power : (x < 0 ? from_bits(F::NOT_A_NUMBER) : end);
    return y == 0 ? T(1) : defined;
}

}  // namespace panoptim
