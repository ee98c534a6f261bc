#include "step.h"

#include <string.h>

#include <algorithm>

#include "check.h"
#include "chunks.h"
#include "error.h"
#include "reduce.h"
#include "rules.h"
#include "sweep.h"

namespace panoptim {

// All columns have the compute type.
template <class T>
static void update_in_place(const panoptim_record& record, const Piece& piece, const Row<T>& row, Sweep<T> sweep) {
    T* data[PANOPTIM_STATE + PANOPTIM_STATES];
    for (int column = 0; column < PANOPTIM_STATE + record.slots; ++column) {
        data[column] = reinterpret_cast<T*>(element(record, column, piece.start));
    }
    sweep(row, piece.reduced, piece.elements, data);
}

// Columns of half types go through a buffer.
static void update_converted(const panoptim_record& record, const Piece& piece, const Row<float>& row, Sweep<float> sweep) {
    const int columns = PANOPTIM_STATE + record.slots;
    alignas(64) float buffer[PANOPTIM_STATE + PANOPTIM_STATES][BLOCK];
    for (uint64_t done = 0; done < piece.elements; done += BLOCK) {
        const uint64_t start = piece.start + done;
        const uint64_t elements = std::min(BLOCK, piece.elements - done);
        float* data[PANOPTIM_STATE + PANOPTIM_STATES];
        for (int column = 0; column < columns; ++column) {
            data[column] = widened(record.dtype[column], element(record, column, start), elements, buffer[column]);
        }
        sweep(row, piece.reduced, elements, data);
        for (int column = 0; column < columns; ++column) {
            if (column == PANOPTIM_GRADIENT) continue;
            narrow(record.dtype[column], buffer[column], elements, element(record, column, start));
        }
    }
}

static void update(const Pass& pass, const panoptim_record& record, const panoptim_chunk& chunk) {
    const panoptim_row& given = pass.step.rows[record.scalar_class];
    const bool plain = idle(pass, record);
    if (record.compute == PANOPTIM_FLOAT64) {
        const Row<double> row = rounded<double>(given);
        const Sweep<double> sweep = (plain ? pass.rule.plain64 : pass.rule.float64)[record.slots];
        each_piece(pass, record, chunk, [&](const Piece& piece) { update_in_place(record, piece, row, sweep); });
        return;
    }
    const Row<float> row = rounded<float>(given);
    const Sweep<float> sweep = (plain ? pass.rule.plain32 : pass.rule.float32)[record.slots];
    const bool converted = !in_place(record, PANOPTIM_STATE + record.slots);
    each_piece(pass, record, chunk, [&](const Piece& piece) {
        if (converted) {
            update_converted(record, piece, row, sweep);
        } else {
            update_in_place(record, piece, row, sweep);
        }
    });
}

static void step_chunks(const void* context, uint64_t begin, uint64_t end) {
    const Pass& pass = *static_cast<const Pass*>(context);
    const bool zero_gradient = (pass.step.extras.flags & PANOPTIM_ZERO_GRADIENT) != 0;
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        if (record.scalar_class < 0) continue;
        update(pass, record, chunk);
        if (zero_gradient) {
            memset(element(record, PANOPTIM_GRADIENT, chunk.start), 0,
                   chunk.elements * bytes_of(record.dtype[PANOPTIM_GRADIENT]));
        }
    }
}

int32_t step(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "step: the pool is null");
    uint64_t elements = 0;
    if (int32_t code = check(table, step, &elements)) return code;

    const RuleSweeps& rule = *find_rule(table->rule);
    const Pass pass{*table, *step, rule, reduces(*step, rule.reduction)};
    Chunks chunks(*pool, *table, elements);
    if (pass.reduces) {
        prepare(pass);
        chunks.run(measure_chunks, &pass);
        finish(pass);
    }
    chunks.run(step_chunks, &pass);
    return PANOPTIM_OK;
}

}  // namespace panoptim
