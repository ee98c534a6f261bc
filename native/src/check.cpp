#include "check.h"

#include <stdio.h>

#include "convert.h"
#include "error.h"
#include "reduce.h"

namespace panoptim {

using Count = unsigned long long;

static constexpr const char* DTYPES[] = {"float32", "float64", "bfloat16", "float16", "uint8"};

static constexpr const char* EXTRAS[] = {"unscale",         "clip",       "write gradient", "zero gradient",
                                         "average",         "copy",       "flush subnormal", "statistics",
                                         "cautious masking"};

static int32_t check_extras(uint32_t flags) {
    uint32_t refused = flags & ~PANOPTIM_ZERO_GRADIENT;
    if (refused == 0) return PANOPTIM_OK;
    unsigned bit = unsigned(__builtin_ctz(refused));
    if (bit >= std::size(EXTRAS)) return fail(PANOPTIM_INVALID, "step: unknown extra, bit %u", bit);
    return fail(PANOPTIM_UNSUPPORTED, "step: the CPU engine does not support '%s' in the same pass yet", EXTRAS[bit]);
}

struct ColumnName {
    char text[24];

    explicit ColumnName(int column) {
        constexpr const char* LAST[] = {"master", "compensation", "average", "copy"};
        if (column == PANOPTIM_VALUE) {
            snprintf(text, sizeof text, "value");
        } else if (column == PANOPTIM_GRADIENT) {
            snprintf(text, sizeof text, "gradient");
        } else if (column < PANOPTIM_SCALE) {
            snprintf(text, sizeof text, "state slot %d", column - PANOPTIM_STATE);
        } else if (column < PANOPTIM_MASTER) {
            snprintf(text, sizeof text, "scales of slot %d", column - PANOPTIM_SCALE);
        } else {
            snprintf(text, sizeof text, "%s", LAST[column - PANOPTIM_MASTER]);
        }
    }
};

// What can be loaded into the compute type exactly, and stored from it with one rounding.
static bool converts(uint8_t compute, uint8_t dtype) {
    if (compute == PANOPTIM_FLOAT64) return dtype == PANOPTIM_FLOAT64;
    return dtype == PANOPTIM_FLOAT32 || dtype == PANOPTIM_BFLOAT16 || dtype == PANOPTIM_FLOAT16;
}

static int32_t check_column(const panoptim_record& record, Count tensor, int column) {
    uint8_t dtype = record.dtype[column];
    uint64_t address = record.address[column];
    if (!converts(record.compute, dtype)) {
        const char* name = dtype < std::size(DTYPES) ? DTYPES[dtype] : "unknown";
        return fail(PANOPTIM_UNSUPPORTED,
                    "step: tensor %llu: the CPU engine does not support a %s of type %s (%u) with %s compute", tensor,
                    ColumnName(column).text, name, dtype, DTYPES[record.compute]);
    }
    if (address == 0) return fail(PANOPTIM_INVALID, "step: tensor %llu has no %s", tensor, ColumnName(column).text);
    if ((address & (bytes_of(dtype) - 1)) != 0) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: the %s at 0x%llx is not aligned to its elements of %llu bytes",
                    tensor, ColumnName(column).text, Count(address), Count(bytes_of(dtype)));
    }
    return PANOPTIM_OK;
}

// A state that elements share is a float64 array, whatever their type.
static int32_t check_shared(const panoptim_record& record, Count tensor, int column) {
    if (column >= PANOPTIM_SCALE || record.address[column] == 0 || record.dtype[column] != PANOPTIM_FLOAT64 ||
        (record.address[column] & (sizeof(double) - 1)) != 0) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: %s, shared by its elements, is not an aligned float64 array", tensor,
                    ColumnName(column).text);
    }
    return PANOPTIM_OK;
}

static int32_t refuse_column(const panoptim_record& record, Count tensor, int column) {
    if (column < PANOPTIM_SCALE) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu has a %s, and only %u slots", tensor, ColumnName(column).text,
                    record.slots);
    }
    return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: the CPU engine does not support '%s' yet", tensor,
                ColumnName(column).text);
}

// A tensor without a gradient in this step is not touched, and need not be complete.
static int32_t check_record(const panoptim_record& record, Count tensor, const RuleSweeps& rule, uint32_t classes) {
    if (record.scalar_class < 0) return PANOPTIM_OK;
    if (uint32_t(record.scalar_class) >= classes) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu is of class %d, and there are %u rows", tensor,
                    record.scalar_class, classes);
    }
    if (record.compute > PANOPTIM_FLOAT64) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: compute type %u is neither float32 (0) nor float64 (1)", tensor,
                    record.compute);
    }
    if (record.slots > PANOPTIM_STATES || rule.float32[record.slots] == nullptr) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: rule %s does not have %u state slots", tensor, rule.name,
                    record.slots);
    }
    if (record.begin > record.end || record.end > record.elements) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: range [%llu, %llu) is not within its %llu elements", tensor,
                    Count(record.begin), Count(record.end), Count(record.elements));
    }
    int columns = PANOPTIM_STATE + record.slots;
    for (int column = 0; column < columns; ++column) {
        if (int32_t code = check_column(record, tensor, column)) return code;
    }
    for (int end = columns + int(rule.reduction.shared); columns < end; ++columns) {
        if (int32_t code = check_shared(record, tensor, columns)) return code;
    }
    for (int column = columns; column < PANOPTIM_COLUMNS; ++column) {
        if (record.address[column] != 0) return refuse_column(record, tensor, column);
    }
    return PANOPTIM_OK;
}

static bool leaf_boundary(const panoptim_record& record, uint64_t index) {
    return (index - record.begin) % record.columns % PANOPTIM_LEAF == 0;
}

// That a chunk of a tensor can be reduced: whole leaves, each with a place for its sums.
static int32_t check_reduced(const panoptim_table& table, const RuleReduction& reduction, const panoptim_record& record,
                             const panoptim_chunk& chunk) {
    if (chunk.elements == 0) return PANOPTIM_OK;
    const uint64_t range = record.end - record.begin;
    if (record.columns == 0 || range % record.columns != 0 || range / record.columns != record.rows) {
        return fail(PANOPTIM_INVALID, "step: tensor %u: %llu rows of %llu elements are not its range of %llu", chunk.tensor,
                    Count(record.rows), Count(record.columns), Count(range));
    }
    const uint64_t leaves = (record.columns + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF * record.rows;
    const uint64_t reduced = reduction.over == PANOPTIM_ROW ? record.rows : 1;
    if (record.partials > table.leaf_count || leaves > table.leaf_count - record.partials ||
        record.reduced > table.reduced_count || reduced > table.reduced_count - record.reduced) {
        return fail(PANOPTIM_INVALID, "step: tensor %u has no place for its sums", chunk.tensor);
    }
    if (!leaf_boundary(record, chunk.start) || !leaf_boundary(record, chunk.start + chunk.elements)) {
        return fail(PANOPTIM_INVALID, "step: tensor %u: a chunk of %u elements from %llu on is not made of whole leaves",
                    chunk.tensor, chunk.elements, Count(chunk.start));
    }
    return PANOPTIM_OK;
}

static int32_t check_reductions(const panoptim_table& table, const RuleReduction& reduction) {
    if (table.reduced == nullptr || table.partials == nullptr || table.reductions == nullptr) {
        return fail(PANOPTIM_INVALID, "step: the table has no place for the rule's sums");
    }
    const bool global = reduction.over == PANOPTIM_GLOBAL;
    if (global && table.reduction_count != 1) {
        return fail(PANOPTIM_INVALID, "step: the rule reduces over all tensors at once, and there are %llu reductions",
                    Count(table.reduction_count));
    }
    for (uint64_t i = 0; i < table.reduction_count; ++i) {
        const panoptim_reduction& given = table.reductions[i];
        if (given.tensor >= table.record_count || given.leaves > table.leaf_count ||
            given.rows > (table.leaf_count - given.leaves) / (given.row_leaves == 0 ? 1 : given.row_leaves) ||
            given.reduced > table.reduced_count || given.rows > table.reduced_count - given.reduced) {
            return fail(PANOPTIM_INVALID, "step: reduction %llu is not within the table", Count(i));
        }
    }
    return PANOPTIM_OK;
}

// Each chunk, and each tensor that has one.
static int32_t check_chunks(const panoptim_table& table, const RuleSweeps& rule, bool reduces, uint32_t classes,
                            uint64_t* elements) {
    uint64_t all = 0;
    uint64_t updated = 0;
    const panoptim_record* checked = nullptr;
    for (uint64_t i = 0; i < table.chunk_count; ++i) {
        const panoptim_chunk& chunk = table.chunks[i];
        if (chunk.tensor >= table.record_count) {
            return fail(PANOPTIM_INVALID, "step: chunk %llu is of tensor %u, and there are %llu", Count(i), chunk.tensor,
                        Count(table.record_count));
        }
        const panoptim_record& record = table.records[chunk.tensor];
        if (&record != checked) {
            if (int32_t code = check_record(record, chunk.tensor, rule, classes)) return code;
            checked = &record;
        }
        if (chunk.start < record.begin || chunk.start > record.end || chunk.elements > record.end - chunk.start) {
            return fail(PANOPTIM_INVALID, "step: chunk %llu: %u elements from %llu on are not within [%llu, %llu) of tensor %u",
                        Count(i), chunk.elements, Count(chunk.start), Count(record.begin), Count(record.end), chunk.tensor);
        }
        if (reduces) {
            if (int32_t code = check_reduced(table, rule.reduction, record, chunk)) return code;
        }
        all += chunk.elements;
        updated += record.scalar_class < 0 ? 0 : chunk.elements;
    }
    if (all != table.elements) {
        return fail(PANOPTIM_INVALID, "step: the chunks have %llu elements, the table says %llu", Count(all),
                    Count(table.elements));
    }
    *elements = updated;
    return PANOPTIM_OK;
}

static int32_t check_size(const char* structure, uint32_t size, size_t expected) {
    if (size == expected) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "step: a %s has %u bytes for the caller and %zu for the library", structure, size, expected);
}

int32_t check(const panoptim_table* table, const panoptim_step* step, uint64_t* elements) {
    if (table == nullptr) return fail(PANOPTIM_INVALID, "step: the table is null");
    if (step == nullptr) return fail(PANOPTIM_INVALID, "step: the step is null");
    if (int32_t code = check_size("panoptim_table", table->size, sizeof(panoptim_table))) return code;
    if (int32_t code = check_size("panoptim_record", table->record_size, sizeof(panoptim_record))) return code;
    if (int32_t code = check_size("panoptim_chunk", table->chunk_size, sizeof(panoptim_chunk))) return code;
    if (int32_t code = check_size("panoptim_step", step->size, sizeof(panoptim_step))) return code;
    if (int32_t code = check_size("panoptim_row", step->row_size, sizeof(panoptim_row))) return code;
    if (table->rule < 0 || table->rule >= PANOPTIM_RULE_COUNT) {
        return fail(PANOPTIM_INVALID, "step: rule %d is unknown, there are %d", table->rule, PANOPTIM_RULE_COUNT);
    }
    if (table->records == nullptr && table->record_count > 0) return fail(PANOPTIM_INVALID, "step: the records are null");
    if (table->chunks == nullptr && table->chunk_count > 0) return fail(PANOPTIM_INVALID, "step: the chunks are null");
    if (step->rows == nullptr && step->classes > 0) return fail(PANOPTIM_INVALID, "step: the rows are null");
    if (step->ring != 1) {
        return fail(PANOPTIM_UNSUPPORTED, "step: the CPU engine does not support a ring of %u rows, only of 1", step->ring);
    }
    if (step->control != nullptr) return fail(PANOPTIM_UNSUPPORTED, "step: the CPU engine does not support a control block yet");
    if (int32_t code = check_extras(step->extras.flags)) return code;

    const RuleSweeps& rule = rule_sweeps[size_t(table->rule)];
    const bool reducing = reduces(*step, rule.reduction);
    if (reducing) {
        if (int32_t code = check_reductions(*table, rule.reduction)) return code;
    }
    return check_chunks(*table, rule, reducing, step->classes, elements);
}

}  // namespace panoptim
