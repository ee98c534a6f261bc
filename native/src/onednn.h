// Products of bfloat16 by oneDNN's matmul primitive, which it makes for one shape at a time and which takes less time than its gemm().
#pragma once
#include <stdint.h>

namespace panoptim {

struct OneDnn;

// What a primitive is made for; the sum is row-major.
struct Bfloat16Shape {
    int64_t rows, columns, inner;
    int64_t leading_a, leading_b, leading_sum;
    bool transposed_a, transposed_b;

    bool operator==(const Bfloat16Shape& other) const {
        return rows == other.rows && columns == other.columns && inner == other.inner && leading_a == other.leading_a &&
               leading_b == other.leading_b && leading_sum == other.leading_sum && transposed_a == other.transposed_a &&
               transposed_b == other.transposed_b;
    }
};

// The functions of a library that has been loaded, for the life of the process; null where it lacks some or cannot be used.
const OneDnn* find_onednn(void* library);

// Whether this processor has instructions for products of bfloat16.
bool multiplies_bfloat16(const OneDnn& library);

// Keeps this thread's OpenMP to itself as long as it lives.
class SingleThread {
public:
    explicit SingleThread(const OneDnn& library);
    ~SingleThread();
    SingleThread(const SingleThread&) = delete;
    SingleThread& operator=(const SingleThread&) = delete;

private:
    const OneDnn& library;
    const int before;
};

// sum = op(A) op(B), on the calling thread; false if oneDNN has failed, which may be for want of memory. Takes subnormal numbers for 0.
bool multiply_bfloat16(const OneDnn& library, const Bfloat16Shape& shape, const void* a, const void* b, float* sum);

}  // namespace panoptim
