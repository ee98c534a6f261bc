#include "step.h"

#include <string.h>

#include <algorithm>

#include "check.h"
#include "error.h"
#include "floating_point.h"
#include "pool.h"
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
            char* memory = element(record, column, start);
            if (record.dtype[column] == PANOPTIM_FLOAT32) {
                data[column] = reinterpret_cast<float*>(memory);
            } else {
                data[column] = buffer[column];
                load(record.dtype[column], memory, elements, buffer[column]);
            }
        }
        sweep(row, piece.reduced, elements, data);
        for (int column = 0; column < columns; ++column) {
            if (column != PANOPTIM_GRADIENT && record.dtype[column] != PANOPTIM_FLOAT32) {
                store(record.dtype[column], buffer[column], elements, element(record, column, start));
            }
        }
    }
}

static void update(const Pass& pass, const panoptim_record& record, const panoptim_chunk& chunk) {
    const panoptim_row& given = pass.step.rows[record.scalar_class];
    if (record.compute == PANOPTIM_FLOAT64) {
        const Row<double> row = rounded<double>(given);
        each_piece(pass, record, chunk, [&](const Piece& piece) {
            update_in_place(record, piece, row, pass.rule.float64[record.slots]);
        });
        return;
    }
    const Row<float> row = rounded<float>(given);
    const bool converted = !in_place(record, PANOPTIM_STATE + record.slots);
    each_piece(pass, record, chunk, [&](const Piece& piece) {
        if (converted) {
            update_converted(record, piece, row, pass.rule.float32[record.slots]);
        } else {
            update_in_place(record, piece, row, pass.rule.float32[record.slots]);
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

// Cuts the chunks into contiguous parts of about the same number of elements.
static void partition(const panoptim_table& table, Member* members, uint32_t parts) {
    uint64_t chunk = 0;
    uint64_t elements = 0;
    for (uint32_t part = 0; part < parts; ++part) {
        members[part].next.store(chunk, std::memory_order_relaxed);
        const uint64_t goal = table.elements / parts * (part + 1);
        while (chunk < table.chunk_count && (elements < goal || part + 1 == parts)) elements += table.chunks[chunk++].elements;
        members[part].end = chunk;
    }
}

// Runs a loop over all chunks.
static void run_chunks(panoptim_pool& pool, const panoptim_table& table, const Loop& loop) {
    partition(table, pool.members, loop.parts);
    run(pool, loop);
}

int32_t step(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "step: the pool is null");
    uint64_t elements = 0;
    if (int32_t code = check(table, step, &elements)) return code;

    const RuleSweeps& rule = *find_rule(table->rule);
    const Pass pass{*table, *step, rule, reduces(*step, rule.reduction)};
    FloatingPoint environment;
    if (pass.reduces) prepare(pass);
    if (elements < SMALL || pool->threads == 1 || !acquire(*pool)) {
        if (pass.reduces) {
            measure_chunks(&pass, 0, table->chunk_count);
            finish(pass);
        }
        step_chunks(&pass, 0, table->chunk_count);
        return PANOPTIM_OK;
    }
    const uint32_t parts = uint32_t(std::min<uint64_t>(uint64_t(pool->threads), elements / BATCH));
    const uint64_t batch = std::max<uint64_t>(1, BATCH * table->chunk_count / table->elements);
    if (pass.reduces) {
        run_chunks(*pool, *table, {measure_chunks, &pass, batch, parts});
        finish(pass);
    }
    run_chunks(*pool, *table, {step_chunks, &pass, batch, parts});
    release(*pool);
    return PANOPTIM_OK;
}

}  // namespace panoptim
