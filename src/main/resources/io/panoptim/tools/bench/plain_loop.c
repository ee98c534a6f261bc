/* The least that AdamW moves, and next to no arithmetic: a loop that reads four arrays and writes three. */
#include <stdint.h>

void plain_loop(int64_t count, float *restrict p, const float *restrict g, float *restrict m, float *restrict v, int32_t threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        m[i] = m[i] + g[i];
        v[i] = v[i] + g[i];
        p[i] = p[i] + m[i] * v[i];
    }
}
