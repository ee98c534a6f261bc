// factored.cu for the host, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "factored.cu"

namespace panoptim_cuda {

static uint64_t size_of(uint32_t dtype) { return dtype == PANOPTIM_FLOAT64 ? 8 : dtype == PANOPTIM_FLOAT32 ? 4 : 2; }

// Null is no address of anything.
template <class T>
static bool lives(const T* first, uint64_t count) {
    return live((uint64_t)first, count * sizeof(T));
}

template <class T>
static const char* check_tensor(const panoptim::FactoredArguments& arguments, const panoptim_factored& tensor) {
    const uint64_t rows = tensor.batch * tensor.rows, columns = tensor.batch * tensor.columns, elements = rows * tensor.columns;
    if (!live(tensor.value, elements * size_of(tensor.value_dtype))) return "a value";
    if (!live(tensor.gradient, elements * size_of(tensor.gradient_dtype))) return "a gradient";
    if (tensor.average != 0 && !live(tensor.average, elements * sizeof(T))) return "an average of updates";
    if (!live(tensor.column_average, columns * sizeof(T))) return "an average over columns";
    if (!live(tensor.column_factors, columns * sizeof(T))) return "the factors of columns";
    if (!lives(arguments.sums + tensor.first_block, tensor.blocks)) return "the sums";
    if (tensor.row_average == 0) return nullptr;
    if (!live(tensor.row_average, rows * sizeof(T))) return "an average over rows";
    if (!lives(arguments.means + tensor.first_matrix, tensor.batch)) return "the means";
    if (!lives(arguments.tickets + arguments.tensor_count + tensor.first_matrix, tensor.batch)) return "the tickets of matrices";
    if (tensor.rows <= PANOPTIM_FACTORED_ROWS && tensor.columns <= PANOPTIM_FACTORED_COLUMNS) return nullptr;
    const uint64_t row_blocks = panoptim::parts(tensor.rows, PANOPTIM_FACTORED_ROWS);
    const uint64_t column_blocks = panoptim::parts(tensor.columns, PANOPTIM_FACTORED_COLUMNS);
    if (!lives(arguments.partials + tensor.row_partials, rows * column_blocks)) return "the sums over rows";
    if (!lives(arguments.partials + tensor.column_partials, (columns + tensor.batch) * row_blocks)) return "the sums over columns";
    return nullptr;
}

template <class T>
static const char* check(void** parameters, uint64_t blocks) {
    const panoptim::FactoredArguments& arguments = *(const panoptim::FactoredArguments*)parameters[0];
    if (!lives(arguments.blocks, blocks)) return "the blocks";
    if (!lives(arguments.tensors, arguments.tensor_count)) return "the tensors";
    if (!lives(arguments.tickets, arguments.tensor_count)) return "the tickets of tensors";
    for (uint64_t i = 0; i < blocks; i++) {
        if (i > 0 && arguments.blocks[i].tensor == arguments.blocks[i - 1].tensor) continue;
        const char* missing = check_tensor<T>(arguments, arguments.tensors[arguments.blocks[i].tensor]);
        if (missing != nullptr) return missing;
    }
    return nullptr;
}

#define ENTRIES(dtype, T)                                                                              \
    Entry<panoptim_factored_sums_##dtype>::of("panoptim_factored_sums_" #dtype, check<T>),             \
    Entry<panoptim_factored_matrices_##dtype>::of("panoptim_factored_matrices_" #dtype, check<T>),     \
    Entry<panoptim_factored_measure_##dtype>::of("panoptim_factored_measure_" #dtype, check<T>),       \
    Entry<panoptim_factored_apply_##dtype>::of("panoptim_factored_apply_" #dtype, check<T>)
static const Kernel kernels[] = {ENTRIES(float32, float), ENTRIES(float64, double)};
extern const Part factored_part;
const Part factored_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
