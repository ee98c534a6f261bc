// columns.cu for the host, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "columns.cu"

namespace panoptim_cuda {

static const char* check_columns(void** parameters, uint64_t blocks) {
    const panoptim::ColumnArguments& arguments = *(const panoptim::ColumnArguments*)parameters[0];
    if (!live((uint64_t)arguments.chunks, blocks * sizeof(panoptim_chunk))) return "the chunks";
    if (arguments.leaves != nullptr && !live((uint64_t)arguments.leaves, arguments.leaf_count * sizeof(double))) return "the leaves";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_chunk& chunk = arguments.chunks[i];
        const panoptim_record* record = arguments.records + chunk.tensor;
        if (!live((uint64_t)record, sizeof *record)) return "the records";
        for (uint32_t column : {arguments.target, arguments.source}) {
            if (column >= PANOPTIM_COLUMNS || record->address[column] == 0) continue;
            const uint64_t size = record->compute == PANOPTIM_FLOAT64 ? 8 : record->dtype[column] == PANOPTIM_FLOAT32 ? 4 : 2;
            if (!live(record->address[column] + chunk.start * size, chunk.elements * size)) return "a column";
        }
    }
    return nullptr;
}

static const char* check_leaves(void** parameters, uint64_t) {
    const panoptim::ColumnArguments& arguments = *(const panoptim::ColumnArguments*)parameters[0];
    if (!live((uint64_t)arguments.leaves, arguments.leaf_count * sizeof(double))) return "the leaves";
    return live((uint64_t)arguments.result, sizeof(double)) ? nullptr : "the result";
}

#define ENTRY(kernel, check) Entry<kernel>::of(#kernel, check)
static const Kernel kernels[] = {ENTRY(panoptim_map_float32, check_columns), ENTRY(panoptim_map_float64, check_columns),
                                 ENTRY(panoptim_reduce_float32, check_columns), ENTRY(panoptim_reduce_float64, check_columns),
                                 ENTRY(panoptim_finish_sum, check_leaves), ENTRY(panoptim_finish_largest, check_leaves)};
extern const Part columns_part;
const Part columns_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
