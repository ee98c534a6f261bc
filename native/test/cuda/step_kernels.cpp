// step.cu for the host, in parts (PANOPTIM_PART) that are compiled side by side, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#if PANOPTIM_PART == 0
#define PART(X) PANOPTIM_EACH_KERNEL(X##_STEP_FLOAT)
#elif PANOPTIM_PART == 1
#define PART(X) PANOPTIM_EACH_KERNEL(X##_STEP_DOUBLE)
#elif PANOPTIM_PART == 2
#define PART(X) PANOPTIM_EACH_REDUCTION(X##_MEASURE_FLOAT)
#else
#define PART(X) PANOPTIM_EACH_REDUCTION(X##_MEASURE_DOUBLE) PANOPTIM_EACH_FINISH(X##_FINISH)
#endif

#define DEFINE_STEP_FLOAT(id, name, type, slots) PANOPTIM_KERNEL(name, type, slots, float, float32)
#define DEFINE_STEP_DOUBLE(id, name, type, slots) PANOPTIM_KERNEL(name, type, slots, double, float64)
#define DEFINE_MEASURE_FLOAT(id, name, type, slots, over, flag, reads, shared) PANOPTIM_MEASURE(name, type, slots, flag, float, float32)
#define DEFINE_MEASURE_DOUBLE(id, name, type, slots, over, flag, reads, shared) PANOPTIM_MEASURE(name, type, slots, flag, double, float64)
#define DEFINE_FINISH(name, type, flag, shared) PANOPTIM_FINISH(name, type, flag, shared)
#define PANOPTIM_ONLY PART(DEFINE)
#define panoptim_rules_hash PANOPTIM_PART_OF(panoptim_rules_hash_, PANOPTIM_PART)
#define PANOPTIM_PART_OF(name, part) PANOPTIM_PART_OF_(name, part)
#define PANOPTIM_PART_OF_(name, part) name##part
#include "step.cu"

namespace panoptim_cuda {

// Null is no address of anything.
template <class T>
static bool is_live(const T* first, uint64_t count) {
    return live((uint64_t)first, count * sizeof(T));
}

// Only the control block that an extra needs is read.
template <class Arguments>
static bool is_controlled(const Arguments& arguments) {
    return (arguments.extras & (PANOPTIM_UNSCALE | PANOPTIM_CLIP | PANOPTIM_SKIP)) == 0 || is_live(arguments.control, 1);
}

// Of the columns that are read or written, all elements of the chunk.
template <class T>
[[maybe_unused]] static const char* check_step(void** parameters, uint64_t blocks) {
    const panoptim::Arguments<T>& arguments = *(const panoptim::Arguments<T>*)parameters[0];
    if (!is_live(arguments.chunks, blocks)) return "the chunks";
    if (!is_controlled(arguments)) return "the control block";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_chunk& chunk = arguments.chunks[i];
        const panoptim_record* record = arguments.records + chunk.tensor;
        if (!is_live(record, 1)) return "the records";
        if (record->scalar_class < 0) continue;
        if (arguments.rows != nullptr && !is_live(arguments.rows + record->scalar_class, 1)) return "the rows";
        if (arguments.rows == nullptr && record->scalar_class >= (int)(sizeof arguments.row / sizeof arguments.row[0])) return "the rows";
        for (int column = 0; column < PANOPTIM_COLUMNS; column++) {
            const bool beside = column == PANOPTIM_MASTER || (column == PANOPTIM_AVERAGE && arguments.extras & PANOPTIM_UPDATE_AVERAGE) ||
                                (column == PANOPTIM_COPY && arguments.extras & PANOPTIM_WRITE_COPY);
            if (column >= PANOPTIM_STATE + record->slots && (!beside || record->address[column] == 0)) continue;
            const uint32_t size = panoptim::Column<T>::size(record->dtype[column]);
            if (!live(record->address[column] + chunk.start * size, (uint64_t)chunk.elements * size)) return "a column";
        }
    }
    return nullptr;
}

[[maybe_unused]] static const char* check_finish(void** parameters, uint64_t blocks) {
    const panoptim::FinishArguments& arguments = *(const panoptim::FinishArguments*)parameters[0];
    if (!is_controlled(arguments)) return "the control block";
    if (!is_live(arguments.reductions, blocks)) return "the reductions";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_record* record = arguments.records + arguments.reductions[i].tensor;
        if (!is_live(record, 1)) return "the records";
        const int own = record->scalar_class < 0 ? 0 : record->scalar_class;
        if (arguments.rows != nullptr && !is_live(arguments.rows + own, 1)) return "the rows";
        if (arguments.rows == nullptr && own >= (int)(sizeof arguments.row / sizeof arguments.row[0])) return "the rows";
    }
    if (!is_live(arguments.partials, 1)) return "the partial sums";
    if (!is_live(arguments.reduced, 1)) return "the reduced values";
    return nullptr;
}

#define ENTRY(kernel, check) Entry<kernel>::of(#kernel, check),
#define LIST_STEP_FLOAT(id, name, type, slots) ENTRY(panoptim_step_##name##_float32_##slots, check_step<float>)
#define LIST_STEP_DOUBLE(id, name, type, slots) ENTRY(panoptim_step_##name##_float64_##slots, check_step<double>)
#define LIST_MEASURE_FLOAT(id, name, type, slots, over, flag, reads, shared) ENTRY(panoptim_measure_##name##_float32_##slots, check_step<float>)
#define LIST_MEASURE_DOUBLE(id, name, type, slots, over, flag, reads, shared) ENTRY(panoptim_measure_##name##_float64_##slots, check_step<double>)
#define LIST_FINISH(name, type, flag, shared) ENTRY(panoptim_finish_##name, check_finish)

static const Kernel kernels[] = {PART(LIST)};
static const Global globals[] = {{"panoptim_rules_hash", panoptim_rules_hash, sizeof panoptim_rules_hash}};
extern const Part PANOPTIM_PART_OF(step_part_, PANOPTIM_PART);
const Part PANOPTIM_PART_OF(step_part_, PANOPTIM_PART) = {kernels, sizeof kernels / sizeof kernels[0], globals, 1};

}  // namespace panoptim_cuda
