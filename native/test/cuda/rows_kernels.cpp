// rows.cu for the host, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "rows.cu"

namespace panoptim_cuda {

template <class T>
static const char* check_rows(void** parameters, uint64_t blocks) {
    const panoptim::RowArguments& arguments = *(const panoptim::RowArguments*)parameters[0];
    if (!live((uint64_t)arguments.record, sizeof(panoptim_record))) return "the record";
    if (!live((uint64_t)arguments.records, blocks * sizeof(panoptim_record))) return "the records";
    if (!live((uint64_t)arguments.chunks, blocks * arguments.pieces * sizeof(panoptim_chunk))) return "the chunks";
    if (!live((uint64_t)arguments.items, blocks * sizeof(panoptim::RowItem))) return "the items";
    if (!live((uint64_t)arguments.gradients, blocks * arguments.columns * sizeof(T))) return "the gradients";
    const uint64_t row = arguments.columns * panoptim::size_of(arguments.dtype);
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim::RowItem& item = arguments.items[i];
        if (item.count == 0) continue;
        if (!live((uint64_t)(arguments.places + item.first), item.count * sizeof(uint64_t))) return "the places";
        for (uint64_t k = 0; k < item.count; k++) {
            if (!live((uint64_t)arguments.values + arguments.places[item.first + k] * row, row)) return "the values";
        }
    }
    return nullptr;
}

static const Kernel kernels[] = {Entry<panoptim_rows_float32>::of("panoptim_rows_float32", check_rows<float>),
                                 Entry<panoptim_rows_float64>::of("panoptim_rows_float64", check_rows<double>)};
extern const Part rows_part;
const Part rows_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
