#include "reduce.h"

#include <string.h>

#include "leaf.h"
#include "stage.h"

namespace panoptim {

bool reduces(const panoptim_step& step, const RuleReduction& reduction) {
    if (reduction.over == 0 || reduction.flag == 0) return reduction.over != 0;
    for (uint32_t i = 0; i < step.classes; ++i) {
        if (step.rows[i].flags & reduction.flag) return true;
    }
    return false;
}

static double* shared_states(const panoptim_record& record) {
    return reinterpret_cast<double*>(record.address[PANOPTIM_STATE + record.slots]);
}

template <class T>
static void measure_leaf(const Pass& pass, Measure<T> measure, const panoptim_record& record, uint64_t start, uint64_t elements,
                         const double* reduced, double* sums) {
    Stage<T, PANOPTIM_LEAF> stage(record, pass.riding);
    stage.load(start, elements, pass.rule.reduction.reads);
    measure(rounded<T>(pass.step.rows[record.scalar_class]), reduced, elements, stage.data, sums);
}

static void measure_leaf(const Pass& pass, const panoptim_record& record, uint64_t start, uint64_t elements,
                         const double* reduced, double* sums) {
    const RuleReduction& reduction = pass.rule.reduction;
    if (record.compute == PANOPTIM_FLOAT64) {
        measure_leaf(pass, reduction.float64[record.slots], record, start, elements, reduced, sums);
    } else {
        measure_leaf(pass, reduction.float32[record.slots], record, start, elements, reduced, sums);
    }
}

void measure_chunks(const void* context, uint64_t begin, uint64_t end) {
    const Pass& pass = *static_cast<const Pass*>(context);
    const RuleReduction& reduction = pass.rule.reduction;
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        const uint64_t row_leaves = (record.columns + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF;
        uint64_t row = (chunk.start - record.begin) / record.columns;
        uint64_t in_row = (chunk.start - record.begin) % record.columns;
        for (uint64_t done = 0; done < chunk.elements;) {
            const uint64_t rest = record.columns - in_row;
            const uint64_t elements = rest < PANOPTIM_LEAF ? rest : PANOPTIM_LEAF;
            const uint64_t leaf = record.partials + row * row_leaves + in_row / PANOPTIM_LEAF;
            double* sums = pass.table.partials + leaf * reduction.sums;
            if (idle(pass, record)) {
                memset(sums, 0, reduction.sums * sizeof(double));
            } else {
                const uint64_t own = record.reduced + (reduction.over == PANOPTIM_ROW ? row : 0);
                measure_leaf(pass, record, chunk.start + done, elements, pass.table.reduced + own * reduction.reduced, sums);
            }
            done += elements;
            in_row += elements;
            if (in_row == record.columns) {
                in_row = 0;
                ++row;
            }
        }
    }
}

// Adds up the leaves of each row in place: the rows' sums come to lie one after the other, from the first leaf on.
static void add_up(const panoptim_reduction& reduction, uint32_t sums, double* partials) {
    for (uint64_t row = 0; row < reduction.rows; ++row) {
        for (uint32_t sum = 0; sum < sums; ++sum) {
            partials[row * sums + sum] = exact_sum(partials + row * reduction.row_leaves * sums + sum, reduction.row_leaves, sums);
        }
    }
}

static void call(const Pass& pass, const panoptim_reduction& given, Finish function) {
    const RuleReduction& reduction = pass.rule.reduction;
    const panoptim_record& record = pass.table.records[given.tensor];
    function(rounded<double>(pass.step.rows[record.scalar_class < 0 ? 0 : record.scalar_class]), given.rows, given.columns,
             pass.table.partials + given.leaves * reduction.sums, pass.table.reduced + given.reduced * reduction.reduced,
             shared_states(record));
}

void prepare(const Pass& pass) {
    if (pass.rule.reduction.over == PANOPTIM_GLOBAL) call(pass, *pass.table.reductions, pass.rule.reduction.prepare);
}

void finish(const Pass& pass) {
    for (uint64_t i = 0; i < pass.table.reduction_count; ++i) {
        const panoptim_reduction& reduction = pass.table.reductions[i];
        if (pass.rule.reduction.over != PANOPTIM_GLOBAL && idle(pass, pass.table.records[reduction.tensor])) continue;
        add_up(reduction, pass.rule.reduction.sums, pass.table.partials + reduction.leaves * pass.rule.reduction.sums);
        call(pass, reduction, pass.rule.reduction.finish);
    }
}

}  // namespace panoptim
