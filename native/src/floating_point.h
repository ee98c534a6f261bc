// The floating-point environment that the arithmetic is defined in.
#pragma once
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace panoptim {

// Round to nearest, subnormals kept, nothing trapped; the thread's own environment comes back at the end.
class FloatingPoint {
public:
    FloatingPoint() : before(get()) { set(DEFAULT); }
    ~FloatingPoint() { set(before); }
    FloatingPoint(const FloatingPoint&) = delete;
    FloatingPoint& operator=(const FloatingPoint&) = delete;

private:
#if defined(__x86_64__)
    using Register = uint32_t;
    static constexpr Register DEFAULT = 0x1f80;
    static Register get() { return _mm_getcsr(); }
    static void set(Register value) { _mm_setcsr(value); }
#else
    using Register = uint64_t;
    static constexpr Register DEFAULT = 0;
    static Register get() {
        Register value;
        asm volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void set(Register value) { asm volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#endif

    const Register before;
};

}  // namespace panoptim
