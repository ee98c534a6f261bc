// products.cu for the host, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "products.cu"

namespace panoptim_cuda {

static bool lives(uint64_t matrices, uint64_t stride, uint64_t leading, uint64_t size, const panoptim::ProductArguments& arguments) {
    if (arguments.tables && !live(matrices, arguments.batch * sizeof(uint64_t))) return false;
    for (uint64_t i = 0; i < arguments.batch; i++) {
        const uint64_t address = arguments.tables ? ((const uint64_t*)matrices)[i] : matrices + i * stride * size;
        if (!live(address, ((arguments.rows - 1) * leading + arguments.columns) * size)) return false;
    }
    return true;
}

template <class T, bool SCALES>
static const char* check(void** parameters, uint64_t) {
    const panoptim::ProductArguments& arguments = *(const panoptim::ProductArguments*)parameters[0];
    const uint64_t size = sizeof(typename T::Storage);
    if (!lives(arguments.d, arguments.stride_d, arguments.leading_d, size, arguments)) return "the result";
    const bool reads = SCALES && arguments.factor != 0;
    return reads && !lives(arguments.c, arguments.stride_c, arguments.leading_c, size, arguments) ? "C" : nullptr;
}

#define ENTRIES(dtype, type)                                                                                        \
    Entry<panoptim_product_scale_##dtype>::of("panoptim_product_scale_" #dtype, check<panoptim::type, true>),       \
    Entry<panoptim_product_identity_##dtype>::of("panoptim_product_identity_" #dtype, check<panoptim::type, false>), \
    Entry<panoptim_product_mirror_##dtype>::of("panoptim_product_mirror_" #dtype, check<panoptim::type, false>)
static const Kernel kernels[] = {ENTRIES(float32, OfFloat32), ENTRIES(float64, OfFloat64), ENTRIES(bfloat16, OfBFloat16),
                                 ENTRIES(float16, OfFloat16)};
extern const Part products_part;
const Part products_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
