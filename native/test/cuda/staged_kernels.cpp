// staged.cu for the host, in parts (PANOPTIM_PART) that are compiled side by side, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#if PANOPTIM_PART == 0
#define PART(X) PANOPTIM_EACH_KERNEL(X##_STEP)
#else
#define PART(X) PANOPTIM_EACH_REDUCTION(X##_MEASURE)
#endif

#define DEFINE_STEP(id, name, type, slots) PANOPTIM_STAGED(name, type, slots)
#define DEFINE_MEASURE(id, name, type, slots, over, flag, reads, shared) PANOPTIM_STAGED_MEASURE(name, type, slots, flag)
#define PANOPTIM_ONLY PART(DEFINE)
#include "staged.cu"

namespace panoptim_cuda {

static bool is_live(uint64_t address, uint64_t start, uint64_t elements, uint64_t size) {
    return live(address + start * size, elements * size);
}

// Of the columns that are read or written, all elements of the chunk, and the scales of all its blocks.
static const char* check_staged(void** parameters, uint64_t blocks) {
    const panoptim::Arguments<float>& arguments = *(const panoptim::Arguments<float>*)parameters[0];
    if (!is_live((uint64_t)arguments.chunks, 0, blocks, sizeof(panoptim_chunk))) return "the chunks";
    const bool controlled = arguments.extras & (PANOPTIM_UNSCALE | PANOPTIM_CLIP | PANOPTIM_SKIP);
    if (controlled && !is_live((uint64_t)arguments.control, 0, 1, sizeof *arguments.control)) return "the control block";
    for (uint64_t i = 0; i < blocks; i++) {
        const panoptim_chunk& chunk = arguments.chunks[i];
        const panoptim_record* record = arguments.records + chunk.tensor;
        if (!is_live((uint64_t)record, 0, 1, sizeof *record)) return "the records";
        if (record->scalar_class < 0) continue;
        if (arguments.rows != nullptr && !is_live((uint64_t)(arguments.rows + record->scalar_class), 0, 1, sizeof *arguments.rows)) return "the rows";
        if (arguments.rows == nullptr && record->scalar_class >= (int)(sizeof arguments.row / sizeof arguments.row[0])) return "the rows";
        for (int column = 0; column < PANOPTIM_COLUMNS; column++) {
            const uint32_t dtype = record->dtype[column];
            if (column >= PANOPTIM_SCALE && column < PANOPTIM_SCALE + record->slots) {
                const uint32_t code = record->dtype[column - PANOPTIM_SCALE + PANOPTIM_STATE];
                if (!panoptim::is_code(code)) continue;
                const uint64_t block = panoptim::is_packed(code) ? PANOPTIM_QUANTIZED_BLOCK4 : PANOPTIM_QUANTIZED_BLOCK;
                const uint64_t first = chunk.start / block;
                const uint64_t count = (chunk.elements + block - 1) / block;
                if (!is_live(record->address[column], first, count, dtype == PANOPTIM_FLOAT32 ? 4 : 2)) return "scales";
                continue;
            }
            const bool beside = column == PANOPTIM_MASTER || column == PANOPTIM_COMPENSATION ||
                                (column == PANOPTIM_AVERAGE && arguments.extras & PANOPTIM_UPDATE_AVERAGE) ||
                                (column == PANOPTIM_COPY && arguments.extras & PANOPTIM_WRITE_COPY);
            if (column >= PANOPTIM_STATE + record->slots && (!beside || record->address[column] == 0)) continue;
            const bool packed = column < PANOPTIM_SCALE && panoptim::is_packed(dtype);
            const uint64_t places = packed ? (chunk.elements + 1) / 2 : chunk.elements;
            if (!is_live(record->address[column], packed ? chunk.start / 2 : chunk.start, places, panoptim::Stored::size(dtype))) return "a column";
        }
    }
    return nullptr;
}

#define ENTRY(kernel) Entry<kernel>::of(#kernel, check_staged),
#define LIST_STEP(id, name, type, slots) ENTRY(panoptim_staged_step_##name##_float32_##slots)
#define LIST_MEASURE(id, name, type, slots, over, flag, reads, shared) ENTRY(panoptim_staged_measure_##name##_float32_##slots)
#define PANOPTIM_PART_OF(name, part) PANOPTIM_PART_OF_(name, part)
#define PANOPTIM_PART_OF_(name, part) name##part

static const Kernel kernels[] = {PART(LIST)};
extern const Part PANOPTIM_PART_OF(staged_part_, PANOPTIM_PART);
const Part PANOPTIM_PART_OF(staged_part_, PANOPTIM_PART) = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
