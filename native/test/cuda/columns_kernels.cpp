// columns.cu for the host, and what its kernels read and write.
#include <initializer_list>

#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "columns.cu"

namespace panoptim_cuda {

static bool has_columns(const panoptim_record& record, const panoptim_chunk& chunk, std::initializer_list<uint32_t> columns) {
    for (uint32_t column : columns) {
        if (column >= PANOPTIM_COLUMNS || record.address[column] == 0) continue;
        const uint64_t size = record.compute == PANOPTIM_FLOAT64 ? 8 : record.dtype[column] == PANOPTIM_FLOAT32 ? 4 : 2;
        if (!live(record.address[column] + chunk.start * size, chunk.elements * size)) return false;
    }
    return true;
}

static bool is_live(const panoptim_control* control) { return control == nullptr || live((uint64_t)control, sizeof *control); }

static const char* check_columns(void** parameters, uint64_t blocks) {
    const panoptim::ColumnArguments& arguments = *(const panoptim::ColumnArguments*)parameters[0];
    if (!is_live(arguments.control)) return "the control block";
    if (arguments.nonfinite != nullptr && !live((uint64_t)arguments.nonfinite, sizeof(uint32_t))) return "what is not finite";
    if (!live((uint64_t)arguments.chunks, blocks * sizeof(panoptim_chunk))) return "the chunks";
    if (arguments.leaves != nullptr && !live((uint64_t)arguments.leaves, arguments.leaf_count * sizeof(double))) return "the leaves";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_chunk& chunk = arguments.chunks[i];
        const panoptim_record* record = arguments.records + chunk.tensor;
        if (!live((uint64_t)record, sizeof *record)) return "the records";
        if (!has_columns(*record, chunk, {arguments.target, arguments.source})) return "a column";
    }
    return nullptr;
}

// What a leaf has, of whichever size.
static const char* check_statistic_leaves(const panoptim::StatisticArguments& arguments) {
    if (!is_live(arguments.control)) return "the control block";
    if (!live((uint64_t)arguments.leaves, arguments.leaf_count * PANOPTIM_STATISTIC_SUMS * sizeof(double))) return "the leaves";
    if (!live((uint64_t)arguments.classes, arguments.leaf_count * sizeof(int32_t))) return "the leaves' classes";
    return nullptr;
}

template <class T>
static const char* check_statistics(void** parameters, uint64_t blocks) {
    const panoptim::StatisticArguments& arguments = *(const panoptim::StatisticArguments*)parameters[0];
    if (!live((uint64_t)arguments.chunks, blocks * sizeof(panoptim_chunk))) return "the chunks";
    if (!live((uint64_t)arguments.before, arguments.leaf_count * PANOPTIM_LEAF * sizeof(T))) return "the values before";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_chunk& chunk = arguments.chunks[i];
        const panoptim_record* record = arguments.records + chunk.tensor;
        if (!live((uint64_t)record, sizeof *record)) return "the records";
        if (record->scalar_class >= 0 && !has_columns(*record, chunk, {PANOPTIM_VALUE, PANOPTIM_GRADIENT, PANOPTIM_MASTER, PANOPTIM_COMPENSATION})) return "a column";
    }
    return check_statistic_leaves(arguments);
}

static const char* check_statistic_sums(void** parameters, uint64_t blocks) {
    const panoptim::StatisticArguments& arguments = *(const panoptim::StatisticArguments*)parameters[0];
    if (!live((uint64_t)arguments.sums, blocks * PANOPTIM_STATISTIC_SUMS * sizeof(double))) return "the sums";
    return check_statistic_leaves(arguments);
}

static const char* check_leaves(void** parameters, uint64_t) {
    const panoptim::ColumnArguments& arguments = *(const panoptim::ColumnArguments*)parameters[0];
    if (!live((uint64_t)arguments.leaves, arguments.leaf_count * sizeof(double))) return "the leaves";
    return live((uint64_t)arguments.result, sizeof(double)) ? nullptr : "the result";
}

#define ENTRY(kernel, check) Entry<kernel>::of(#kernel, check)
static const Kernel kernels[] = {ENTRY(panoptim_map_float32, check_columns), ENTRY(panoptim_map_float64, check_columns),
                                 ENTRY(panoptim_reduce_float32, check_columns), ENTRY(panoptim_reduce_float64, check_columns),
                                 ENTRY(panoptim_finish_sum, check_leaves), ENTRY(panoptim_finish_largest, check_leaves),
                                 ENTRY(panoptim_statistics_float32, check_statistics<float>),
                                 ENTRY(panoptim_statistics_float64, check_statistics<double>),
                                 ENTRY(panoptim_finish_statistics, check_statistic_sums)};
extern const Part columns_part;
const Part columns_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
