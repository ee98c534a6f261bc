#include "step.h"

#include <string.h>

#include <algorithm>

#include "check.h"
#include "chunks.h"
#include "error.h"
#include "leaf.h"
#include "rules.h"
#include "stage.h"

namespace panoptim {

// The rule's loop over elements that lie where they are.
template <class T>
static void update_in_place(const panoptim_record& record, const Piece& piece, const Row<T>& row, Sweep<T> sweep) {
    T* data[PANOPTIM_STATE + PANOPTIM_STATES];
    for (int column = 0; column < PANOPTIM_STATE + record.slots; ++column) {
        data[column] = reinterpret_cast<T*>(element(record, column, piece.start));
    }
    sweep(row, piece.reduced, piece.elements, data);
}

// Three sums over the leaf that is being updated.
class LeafStatistics {
public:
    LeafStatistics(const panoptim_record& record, const panoptim_extras& extras)
        : record(record), leaves(extras.statistic_leaves) {}

    double* lanes_of(uint64_t start) {
        if ((start - record.begin) % PANOPTIM_LEAF == 0) memset(lanes, 0, sizeof lanes);
        return lanes;
    }

    // Elements up to here have been added.
    void ended(uint64_t end) {
        if ((end - record.begin) % PANOPTIM_LEAF != 0 && end != record.end) return;
        double* leaf = leaves + (record.leaf + (end - 1 - record.begin) / PANOPTIM_LEAF) * PANOPTIM_STATISTIC_SUMS;
        for (int sum = 0; sum < PANOPTIM_STATISTIC_SUMS; ++sum) {
            leaf[sum] = join_lanes(lanes + sum * PANOPTIM_LANES, [](double a, double b) { return a + b; });
        }
    }

private:
    const panoptim_record& record;
    double* leaves;
    alignas(64) double lanes[PANOPTIM_STATISTIC_SUMS * PANOPTIM_LANES];
};

template <class T>
static void update_staged(const Pass& pass, const panoptim_record& record, const Piece& piece, const Row<T>& row, Sweep<T> sweep) {
    Stage<T, BLOCK> stage(record, pass.riding);
    const bool statistics = pass.riding.has(PANOPTIM_STATISTICS);
    LeafStatistics sums(record, pass.step.extras);
    for (uint64_t done = 0; done < piece.elements; done += BLOCK) {
        const uint64_t start = piece.start + done;
        const uint64_t elements = std::min(BLOCK, piece.elements - done);
        stage.load(start, elements, ~0u);
        if (statistics) stage.remember();
        sweep(row, piece.reduced, elements, stage.data);
        stage.store(row);
        if (statistics) {
            stage.add_to(sums.lanes_of(start));
            sums.ended(start + elements);
        }
    }
}

template <class T>
static void update(const Pass& pass, const panoptim_record& record, const panoptim_chunk& chunk, const Sweep<T>* sweeps) {
    const Row<T> row = rounded<T>(pass.step.rows[record.scalar_class]);
    const Sweep<T> sweep = sweeps[record.slots];
    const bool staged = !Stage<T, BLOCK>::unneeded(record, pass.riding);
    each_piece(pass, record, chunk, [&](const Piece& piece) {
        if (staged) {
            update_staged(pass, record, piece, row, sweep);
        } else {
            update_in_place(record, piece, row, sweep);
        }
    });
}

static void zero_gradient(const panoptim_record& record, const panoptim_chunk& chunk) {
    memset(element(record, PANOPTIM_GRADIENT, chunk.start), 0, chunk.elements * bytes_of(record.dtype[PANOPTIM_GRADIENT]));
}

static void step_chunks(const void* context, uint64_t begin, uint64_t end) {
    const Pass& pass = *static_cast<const Pass*>(context);
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        if (record.scalar_class < 0) continue;
        const bool plain = idle(pass, record);
        if (record.compute == PANOPTIM_FLOAT64) {
            update(pass, record, chunk, plain ? pass.rule.plain64 : pass.rule.float64);
        } else {
            update(pass, record, chunk, plain ? pass.rule.plain32 : pass.rule.float32);
        }
        if (pass.riding.has(PANOPTIM_ZERO_GRADIENT)) zero_gradient(record, chunk);
    }
}

static void zero_gradients(const void* context, uint64_t begin, uint64_t end) {
    const Pass& pass = *static_cast<const Pass*>(context);
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        if (record.scalar_class >= 0) zero_gradient(record, chunk);
    }
}

// Adds up each class's leaves; a class's tensors may lie anywhere.
static void add_statistics(const panoptim_table& table, const panoptim_step& step) {
    for (uint32_t own = 0; own < step.classes; ++own) {
        ExactSum exact[PANOPTIM_STATISTIC_SUMS];
        const auto each = [&](void (ExactSum::*take)(double)) {
            for (uint64_t i = 0; i < table.record_count; ++i) {
                const panoptim_record& record = table.records[i];
                if (record.scalar_class != int32_t(own)) continue;
                const uint64_t leaves = (record.end - record.begin + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF;
                const double* leaf = step.extras.statistic_leaves + record.leaf * PANOPTIM_STATISTIC_SUMS;
                for (uint64_t j = 0; j < leaves * PANOPTIM_STATISTIC_SUMS; ++j) (exact[j % PANOPTIM_STATISTIC_SUMS].*take)(leaf[j]);
            }
        };
        each(static_cast<void (ExactSum::*)(double)>(&ExactSum::show));
        each(static_cast<void (ExactSum::*)(double)>(&ExactSum::add));
        for (int sum = 0; sum < PANOPTIM_STATISTIC_SUMS; ++sum) {
            step.extras.statistics[own * PANOPTIM_STATISTIC_SUMS + sum] = exact[sum].result();
        }
    }
}

int32_t step(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "step: the pool is null");
    uint64_t elements = 0;
    if (int32_t code = check(table, step, &elements)) return code;

    const RuleSweeps& rule = *find_rule(table->rule);
    const Riding riding(*step);
    const Pass pass{*table, *step, rule, riding, reduces(*step, rule.reduction)};
    Chunks chunks(*pool, *table, elements);
    if (riding.has(PANOPTIM_SKIP) && step->control->found_inf != 0) {
        if (riding.has(PANOPTIM_ZERO_GRADIENT)) chunks.run(zero_gradients, &pass);
        return PANOPTIM_OK;
    }
    if (pass.reduces) {
        prepare(pass);
        chunks.run(measure_chunks, &pass);
        finish(pass);
    }
    chunks.run(step_chunks, &pass);
    if (riding.has(PANOPTIM_STATISTICS)) add_statistics(*table, *step);
    return PANOPTIM_OK;
}

}  // namespace panoptim
