#include "check.h"

#include <iterator>

#include "codes.h"
#include "columns.h"
#include "convert.h"
#include "error.h"
#include "reduce.h"
#include "rules.h"

namespace panoptim {

using Count = unsigned long long;

static constexpr const char* DTYPES[] = {"float32", "float64", "bfloat16", "float16", "uint8", "int64", "int16"};

static int32_t check_size(const char* verb, const char* structure, uint32_t size, size_t expected) {
    if (size == expected) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "%s: a %s has %u bytes for the caller and %zu for the library", verb, structure, size, expected);
}

static constexpr uint32_t KNOWN_EXTRAS = 2 * PANOPTIM_STOCHASTIC - 1;
static constexpr uint32_t CONTROLLED = PANOPTIM_UNSCALE | PANOPTIM_CLIP | PANOPTIM_SKIP;

static int32_t check_extras(const panoptim_step& step) {
    const panoptim_extras& extras = step.extras;
    const uint32_t unknown = extras.flags & ~KNOWN_EXTRAS;
    if (unknown != 0) return fail(PANOPTIM_INVALID, "step: unknown extra, bit %d", __builtin_ctz(unknown));
    if ((extras.flags & CONTROLLED) != 0) {
        if (step.control == nullptr) return fail(PANOPTIM_INVALID, "step: unscaling, clipping and skipping need a control block");
        if (int32_t code = check_size("step", "panoptim_control", step.control->size, sizeof(panoptim_control))) return code;
    }
    const bool nowhere = extras.statistics == nullptr || extras.statistic_leaves == nullptr;
    if ((extras.flags & PANOPTIM_STATISTICS) != 0 && nowhere) {
        return fail(PANOPTIM_INVALID, "step: there is nowhere to put statistics");
    }
    return PANOPTIM_OK;
}

// Ready to be used: columns are checked at every step.
static constexpr const char* COLUMNS[] = {
    "value", "gradient",
    "state slot 0", "state slot 1", "state slot 2", "state slot 3", "state slot 4", "state slot 5",
    "scales of slot 0", "scales of slot 1", "scales of slot 2", "scales of slot 3", "scales of slot 4", "scales of slot 5",
    "master", "compensation", "average", "copy",
};
static_assert(std::size(COLUMNS) == PANOPTIM_COLUMNS);

// What can be loaded into the compute type exactly, and stored from it with one rounding.
static bool converts(uint8_t compute, uint8_t dtype) {
    if (compute == PANOPTIM_FLOAT64) return dtype == PANOPTIM_FLOAT64;
    return dtype == PANOPTIM_FLOAT32 || dtype == PANOPTIM_BFLOAT16 || dtype == PANOPTIM_FLOAT16;
}

static int32_t check_address(const char* verb, uint64_t address, uint64_t bytes, Count tensor, const char* name) {
    if (address == 0) return fail(PANOPTIM_INVALID, "%s: tensor %llu has no %s", verb, tensor, name);
    if ((address & (bytes - 1)) != 0) {
        return fail(PANOPTIM_INVALID, "%s: tensor %llu: the %s at 0x%llx is not aligned to its elements of %llu bytes", verb,
                    tensor, name, Count(address), Count(bytes));
    }
    return PANOPTIM_OK;
}

static int32_t check_memory(const char* verb, uint8_t compute, uint8_t dtype, uint64_t address, Count tensor, const char* name) {
    if (!converts(compute, dtype)) {
        const char* type = dtype < std::size(DTYPES) ? DTYPES[dtype] : "unknown";
        return fail(PANOPTIM_UNSUPPORTED,
                    "%s: tensor %llu: the CPU engine does not support a %s of type %s (%u) with %s compute", verb, tensor, name,
                    type, dtype, DTYPES[compute]);
    }
    return check_address(verb, address, bytes_of(dtype), tensor, name);
}

static int32_t check_column(const char* verb, const panoptim_record& record, Count tensor, int column) {
    return check_memory(verb, record.compute, record.dtype[column], record.address[column], tensor, COLUMNS[column]);
}

static int32_t check_compute(const char* verb, const panoptim_record& record, Count tensor) {
    if (record.compute <= PANOPTIM_FLOAT64) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "%s: tensor %llu: compute type %u is neither float32 (0) nor float64 (1)", verb, tensor,
                record.compute);
}

// The part of the tensor to work on.
static int32_t check_range(const char* verb, const panoptim_record& record, Count tensor) {
    if (record.begin <= record.end && record.end <= record.elements) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "%s: tensor %llu: range [%llu, %llu) is not within its %llu elements", verb, tensor,
                Count(record.begin), Count(record.end), Count(record.elements));
}

// The states that elements share are one float64 array, whatever the elements' type.
static int32_t check_shared(const panoptim_record& record, Count tensor, int column) {
    if (column >= PANOPTIM_SCALE || record.address[column] == 0 || record.dtype[column] != PANOPTIM_FLOAT64 ||
        (record.address[column] & (sizeof(double) - 1)) != 0) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: %s, shared by its elements, is not an aligned float64 array", tensor,
                    COLUMNS[column]);
    }
    return PANOPTIM_OK;
}

static int32_t refuse_column(const panoptim_record& record, Count tensor, int column) {
    if (column < PANOPTIM_SCALE) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu has a %s, and only %u slots", tensor, COLUMNS[column],
                    record.slots);
    }
    return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: the CPU engine does not support '%s' yet", tensor,
                COLUMNS[column]);
}

static int32_t check_class(int32_t scalar_class, Count tensor, uint32_t classes) {
    if (scalar_class >= 0 && uint32_t(scalar_class) < classes) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "step: tensor %llu is of class %d, and there are %u rows", tensor, scalar_class, classes);
}

static int32_t check_slots(const panoptim_record& record, Count tensor, const RuleSweeps& rule) {
    if (int32_t code = check_compute("step", record, tensor)) return code;
    if (record.slots > PANOPTIM_STATES || rule.float32[record.slots] == nullptr) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: rule %s does not have %u state slots", tensor, rule.name,
                    record.slots);
    }
    return PANOPTIM_OK;
}

// A state that is stored as codes, which have scales in a column of their own.
static int32_t check_codes(const panoptim_record& record, Count tensor, const RuleSweeps& rule, int column) {
    const int scales = PANOPTIM_SCALE + column - PANOPTIM_STATE;
    const uint8_t type = record.dtype[scales];
    if (record.dtype[column] > PANOPTIM_LINEAR4_UNSIGNED || record.compute != PANOPTIM_FLOAT32 ||
        (type != PANOPTIM_FLOAT32 && type != PANOPTIM_BFLOAT16)) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: the CPU engine does not support %s as codes of type %u with %s of type %u",
                    tensor, COLUMNS[column], record.dtype[column], COLUMNS[scales], type);
    }
    if (rule.reduction.over == PANOPTIM_ROW) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: rule %s takes rows apart, which quantised states do not follow", tensor,
                    rule.name);
    }
    if (record.begin % PANOPTIM_QUANTIZED_BLOCK != 0 ||
        (record.end % PANOPTIM_QUANTIZED_BLOCK != 0 && record.end != record.elements)) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: the range [%llu, %llu) cuts a block of a quantised state", tensor,
                    Count(record.begin), Count(record.end));
    }
    if (int32_t code = check_address("step", record.address[column], 1, tensor, COLUMNS[column])) return code;
    return check_address("step", record.address[scales], bytes_of(type), tensor, COLUMNS[scales]);
}

// What a value needs besides itself to be a float32 number.
static int32_t check_value(const panoptim_record& record, Count tensor) {
    const uint8_t value = record.dtype[PANOPTIM_VALUE], master = record.dtype[PANOPTIM_MASTER];
    if (record.address[PANOPTIM_MASTER] != 0) {
        const bool remainder = master == PANOPTIM_INT16 && value == PANOPTIM_BFLOAT16 && record.compute == PANOPTIM_FLOAT32;
        if (!remainder && master != record.compute) {
            return fail(PANOPTIM_INVALID, "step: tensor %llu: the master is not of the compute type, nor the remainder of a bfloat16 value",
                        tensor);
        }
        if (int32_t code = check_address("step", record.address[PANOPTIM_MASTER], bytes_of(master), tensor, "master")) return code;
    }
    if (record.address[PANOPTIM_COMPENSATION] != 0) {
        if (record.dtype[PANOPTIM_COMPENSATION] != value || value == record.compute || record.address[PANOPTIM_MASTER] != 0) {
            return fail(PANOPTIM_INVALID, "step: tensor %llu: the compensation is not of the type of a half-precision value without a master",
                        tensor);
        }
        return check_column("step", record, tensor, PANOPTIM_COMPENSATION);
    }
    return PANOPTIM_OK;
}

// A tensor without a gradient in this step is not touched, and need not be complete.
static int32_t check_record(const panoptim_record& record, Count tensor, const RuleSweeps& rule, const panoptim_step& step) {
    if (record.scalar_class < 0) return PANOPTIM_OK;
    if (int32_t code = check_class(record.scalar_class, tensor, step.classes)) return code;
    if (int32_t code = check_slots(record, tensor, rule)) return code;
    if (int32_t code = check_range("step", record, tensor)) return code;
    int columns = PANOPTIM_STATE + record.slots;
    for (int column = 0; column < columns; ++column) {
        const bool codes = column >= PANOPTIM_STATE && quantized(record.dtype[column]);
        int32_t code = codes ? check_codes(record, tensor, rule, column) : check_column("step", record, tensor, column);
        if (code) return code;
    }
    if (rule.reduction.shared > 0) {
        if (int32_t code = check_shared(record, tensor, columns++)) return code;
    }
    for (int column = columns; column < PANOPTIM_COLUMNS; ++column) {
        if (record.address[column] == 0 || column == PANOPTIM_MASTER || column == PANOPTIM_COMPENSATION) continue;
        const int slot = column - PANOPTIM_SCALE;
        const bool scales = slot >= 0 && slot < record.slots && quantized(record.dtype[PANOPTIM_STATE + slot]);
        if (scales) continue;
        if (column < PANOPTIM_MASTER) return refuse_column(record, tensor, column);
        if (int32_t code = check_column("step", record, tensor, column)) return code;
    }
    const bool stochastic = (step.extras.flags & PANOPTIM_WRITE_COPY) != 0 && step.extras.copy_rounding != 0;
    if (stochastic && record.address[PANOPTIM_COPY] != 0 && record.dtype[PANOPTIM_COPY] != PANOPTIM_BFLOAT16) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: only to bfloat16 is a copy rounded stochastically", tensor);
    }
    return check_value(record, tensor);
}

// That a chunk does not cut a block of a quantised state.
static int32_t check_blocks(const panoptim_record& record, const panoptim_chunk& chunk) {
    const uint64_t end = chunk.start + chunk.elements;
    if (chunk.start % PANOPTIM_QUANTIZED_BLOCK == 0 && (end % PANOPTIM_QUANTIZED_BLOCK == 0 || end == record.end)) return PANOPTIM_OK;
    for (int slot = 0; slot < record.slots; ++slot) {
        if (quantized(record.dtype[PANOPTIM_STATE + slot])) {
            return fail(PANOPTIM_INVALID, "step: tensor %u: a chunk of %u elements from %llu on cuts a block of a quantised state",
                        chunk.tensor, chunk.elements, Count(chunk.start));
        }
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
        if (global && reduction.shared > 0) {  // even where that tensor is absent
            const panoptim_record& record = table.records[given.tensor];
            if (int32_t code = check_shared(record, given.tensor, PANOPTIM_STATE + record.slots)) return code;
        }
    }
    return PANOPTIM_OK;
}

// Each chunk; check_record(record, tensor) is for each tensor that has one, check_chunk(record, chunk) for each chunk; counts(record)
// says whether a tensor's elements are worked on.
template <class CheckRecord, class CheckChunk, class Counts>
static int32_t check_chunks(const char* verb, const panoptim_table& table, CheckRecord check_record, CheckChunk check_chunk,
                            Counts counts, uint64_t* elements) {
    uint64_t all = 0;
    uint64_t counted = 0;
    const panoptim_record* checked = nullptr;
    for (uint64_t i = 0; i < table.chunk_count; ++i) {
        const panoptim_chunk& chunk = table.chunks[i];
        if (chunk.tensor >= table.record_count) {
            return fail(PANOPTIM_INVALID, "%s: chunk %llu is of tensor %u, and there are %llu", verb, Count(i), chunk.tensor,
                        Count(table.record_count));
        }
        const panoptim_record& record = table.records[chunk.tensor];
        if (&record != checked) {
            if (int32_t code = check_record(record, chunk.tensor)) return code;
            checked = &record;
        }
        if (chunk.start < record.begin || chunk.start > record.end || chunk.elements > record.end - chunk.start) {
            return fail(PANOPTIM_INVALID, "%s: chunk %llu: %u elements from %llu on are not within [%llu, %llu) of tensor %u", verb,
                        Count(i), chunk.elements, Count(chunk.start), Count(record.begin), Count(record.end), chunk.tensor);
        }
        if (int32_t code = check_chunk(record, chunk)) return code;
        all += chunk.elements;
        counted += counts(record) ? chunk.elements : 0;
    }
    if (all != table.elements) {
        return fail(PANOPTIM_INVALID, "%s: the chunks have %llu elements, the table says %llu", verb, Count(all),
                    Count(table.elements));
    }
    *elements = counted;
    return PANOPTIM_OK;
}

static int32_t check_table(const char* verb, const panoptim_table* table) {
    if (table == nullptr) return fail(PANOPTIM_INVALID, "%s: the table is null", verb);
    if (int32_t code = check_size(verb, "panoptim_table", table->size, sizeof(panoptim_table))) return code;
    if (int32_t code = check_size(verb, "panoptim_record", table->record_size, sizeof(panoptim_record))) return code;
    if (int32_t code = check_size(verb, "panoptim_chunk", table->chunk_size, sizeof(panoptim_chunk))) return code;
    if (table->records == nullptr && table->record_count > 0) return fail(PANOPTIM_INVALID, "%s: the records are null", verb);
    if (table->chunks == nullptr && table->chunk_count > 0) return fail(PANOPTIM_INVALID, "%s: the chunks are null", verb);
    return PANOPTIM_OK;
}

int32_t check(const panoptim_table* table, const panoptim_step* step, uint64_t* elements) {
    if (int32_t code = check_table("step", table)) return code;
    if (step == nullptr) return fail(PANOPTIM_INVALID, "step: the step is null");
    if (int32_t code = check_size("step", "panoptim_step", step->size, sizeof(panoptim_step))) return code;
    if (int32_t code = check_size("step", "panoptim_row", step->row_size, sizeof(panoptim_row))) return code;
    const RuleSweeps* rule = find_rule(table->rule);
    if (rule == nullptr) return fail(PANOPTIM_INVALID, "step: rule %d is unknown", table->rule);
    if (step->rows == nullptr && step->classes > 0) return fail(PANOPTIM_INVALID, "step: the rows are null");
    if (step->ring != 1) {
        return fail(PANOPTIM_UNSUPPORTED, "step: the CPU engine does not support a ring of %u rows, only of 1", step->ring);
    }
    if (int32_t code = check_extras(*step)) return code;

    const bool reducing = reduces(*step, rule->reduction);
    if (reducing) {
        if (int32_t code = check_reductions(*table, rule->reduction)) return code;
    }
    return check_chunks(
        "step", *table,
        [&](const panoptim_record& record, uint32_t tensor) { return check_record(record, tensor, *rule, *step); },
        [&](const panoptim_record& record, const panoptim_chunk& chunk) {
            if (int32_t code = check_blocks(record, chunk)) return code;
            return reducing ? check_reduced(*table, rule->reduction, record, chunk) : PANOPTIM_OK;
        },
        [](const panoptim_record& record) { return record.scalar_class >= 0; }, elements);
}

// ---- Steps over rows

static int32_t check_row_gradient(const panoptim_table& table, const panoptim_row_gradient& gradient, const RuleSweeps& rule,
                                  const panoptim_step& step) {
    const Count tensor = gradient.tensor;
    if (tensor >= table.record_count) {
        return fail(PANOPTIM_INVALID, "step: a sparse gradient is of tensor %llu, and there are %llu", tensor,
                    Count(table.record_count));
    }
    const panoptim_record& record = table.records[tensor];
    if (record.scalar_class >= 0) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu has a sparse gradient, and is stepped with a dense one", tensor);
    }
    if (int32_t code = check_class(gradient.scalar_class, tensor, step.classes)) return code;
    if (step.rows[gradient.scalar_class].keep != 1) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: values do not decay in some rows only", tensor);
    }
    if (int32_t code = check_slots(record, tensor, rule)) return code;
    if (record.address[PANOPTIM_MASTER] != 0 || record.address[PANOPTIM_COMPENSATION] != 0) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: the CPU engine does not support masters with sparse gradients", tensor);
    }
    if (record.begin != 0 || record.end != record.elements) {
        return fail(PANOPTIM_UNSUPPORTED, "step: tensor %llu: the CPU engine does not support rows of a part of a tensor", tensor);
    }
    bool fits = gradient.columns == 0
                    ? record.elements == 0
                    : record.elements % gradient.columns == 0 && record.elements / gradient.columns == gradient.rows;
    if (!fits) {
        return fail(PANOPTIM_INVALID, "step: tensor %llu: its %llu elements are not %llu rows of %llu", tensor,
                    Count(record.elements), Count(gradient.rows), Count(gradient.columns));
    }
    for (int column = 0; column < PANOPTIM_STATE + record.slots; ++column) {
        if (column == PANOPTIM_GRADIENT) continue;
        if (int32_t code = check_column("step", record, tensor, column)) return code;
    }
    if (gradient.moving != nullptr) {
        if (int32_t code = check_address("step", uint64_t(gradient.moving), sizeof(uint64_t), tensor, "moving rows")) return code;
    }
    if (gradient.count == 0) return PANOPTIM_OK;
    if (int32_t code = check_address("step", uint64_t(gradient.indices), sizeof(int64_t), tensor, "indices")) return code;
    if (int32_t code = check_address("step", uint64_t(gradient.workspace), sizeof(uint64_t), tensor, "workspace")) return code;
    return check_memory("step", record.compute, gradient.dtype, uint64_t(gradient.values), tensor, "sparse gradient");
}

int32_t check_rows(const panoptim_table* table, const panoptim_step* step, const panoptim_row_step* rows) {
    uint64_t elements;
    if (int32_t code = check(table, step, &elements)) return code;
    if (rows == nullptr) return fail(PANOPTIM_INVALID, "step: the sparse gradients are null");
    if (int32_t code = check_size("step", "panoptim_row_step", rows->size, sizeof(panoptim_row_step))) return code;
    if (int32_t code = check_size("step", "panoptim_row_gradient", rows->gradient_size, sizeof(panoptim_row_gradient))) return code;
    const RuleSweeps* known = find_rule(rows->rule);
    if (known == nullptr) return fail(PANOPTIM_INVALID, "step: rule %d is unknown", rows->rule);
    const RuleSweeps& rule = *known;
    if (rule.reduction.over != 0) return fail(PANOPTIM_UNSUPPORTED, "step: rule %s takes sums over whole tensors", rule.name);
    if (step->extras.flags != 0) {
        return fail(PANOPTIM_UNSUPPORTED, "step: the CPU engine does not support extras with sparse gradients");
    }
    if (rows->gradients == nullptr && rows->gradient_count > 0) {
        return fail(PANOPTIM_INVALID, "step: the sparse gradients are null");
    }
    for (uint64_t i = 0; i < rows->gradient_count; ++i) {
        int32_t code = check_row_gradient(*table, rows->gradients[i], rule, *step);
        if (code) return code;
    }
    return PANOPTIM_OK;
}

// ---- Verbs over columns

static int32_t check_number(const char* verb, uint32_t column) {
    if (column < PANOPTIM_SCALE || (column >= PANOPTIM_MASTER && column < PANOPTIM_COLUMNS)) return PANOPTIM_OK;
    return fail(PANOPTIM_INVALID, "%s: column %u is none of a tensor's elements", verb, column);
}

// The columns of a tensor that has them all; one that lacks any is not touched, and need not be complete.
static int32_t check_columns(const char* verb, const panoptim_record& record, Count tensor, uint64_t columns) {
    if (int32_t code = check_compute(verb, record, tensor)) return code;
    if (int32_t code = check_range(verb, record, tensor)) return code;
    if (!has_columns(record, columns)) return PANOPTIM_OK;
    for (int column = 0; column < PANOPTIM_COLUMNS; ++column) {
        if ((columns >> column & 1) == 0) continue;
        if (column >= PANOPTIM_STATE + record.slots && column < PANOPTIM_SCALE) {
            return fail(PANOPTIM_INVALID, "%s: tensor %llu: %s is shared by its elements", verb, tensor, COLUMNS[column]);
        }
        if (int32_t code = check_column(verb, record, tensor, column)) return code;
    }
    return PANOPTIM_OK;
}

int32_t check_map(const panoptim_table* table, const panoptim_map* map, uint64_t* elements) {
    if (int32_t code = check_table("map", table)) return code;
    if (map == nullptr) return fail(PANOPTIM_INVALID, "map: the operation is null");
    if (int32_t code = check_size("map", "panoptim_map", map->size, sizeof(panoptim_map))) return code;
    if (map->kind > PANOPTIM_MAP_CLAMP) return fail(PANOPTIM_INVALID, "map: operation %u is unknown", map->kind);
    if (int32_t code = check_number("map", map->target)) return code;
    if (has_source(map->kind)) {
        if (int32_t code = check_number("map", map->source)) return code;
        if (map->source == map->target) return fail(PANOPTIM_INVALID, "map: column %u is target and source", map->target);
    }
    const uint64_t columns = columns_of(*map);
    return check_chunks(
        "map", *table,
        [&](const panoptim_record& record, uint32_t tensor) { return check_columns("map", record, tensor, columns); },
        [](const panoptim_record&, const panoptim_chunk&) { return PANOPTIM_OK; },
        [&](const panoptim_record& record) { return has_columns(record, columns); }, elements);
}

// That a chunk is made of whole leaves, and each has a place.
static int32_t check_leaves(const panoptim_reduce& reduce, const panoptim_record& record, const panoptim_chunk& chunk) {
    const uint64_t first = chunk.start - record.begin;
    const bool whole = first % PANOPTIM_LEAF == 0 && (record.origin + record.begin) % PANOPTIM_LEAF == 0 &&
                       (chunk.elements % PANOPTIM_LEAF == 0 || chunk.start + chunk.elements == record.end);
    if (!whole) {
        return fail(PANOPTIM_INVALID, "reduce: tensor %u: a chunk of %u elements from %llu on is not made of whole leaves",
                    chunk.tensor, chunk.elements, Count(chunk.start));
    }
    const uint64_t end = first / PANOPTIM_LEAF + (uint64_t(chunk.elements) + PANOPTIM_LEAF - 1) / PANOPTIM_LEAF;
    if (record.leaf > reduce.leaf_count || end > reduce.leaf_count - record.leaf) {
        return fail(PANOPTIM_INVALID, "reduce: tensor %u has no place for its leaves", chunk.tensor);
    }
    return PANOPTIM_OK;
}

int32_t check_reduce(const panoptim_table* table, const panoptim_reduce* reduce, uint64_t* elements) {
    if (int32_t code = check_table("reduce", table)) return code;
    if (reduce == nullptr) return fail(PANOPTIM_INVALID, "reduce: the reduction is null");
    if (int32_t code = check_size("reduce", "panoptim_reduce", reduce->size, sizeof(panoptim_reduce))) return code;
    if (reduce->kind > PANOPTIM_REDUCE_POWER) {
        return fail(PANOPTIM_INVALID, "reduce: reduction %u is unknown", reduce->kind);
    }
    if (int32_t code = check_number("reduce", reduce->left)) return code;
    if (reduce->kind == PANOPTIM_REDUCE_DOT) {
        if (int32_t code = check_number("reduce", reduce->right)) return code;
    }
    if (reduce->leaves == nullptr && reduce->leaf_count > 0) return fail(PANOPTIM_INVALID, "reduce: the leaves are null");
    const uint64_t columns = columns_of(*reduce);
    return check_chunks(
        "reduce", *table,
        [&](const panoptim_record& record, uint32_t tensor) { return check_columns("reduce", record, tensor, columns); },
        [&](const panoptim_record& record, const panoptim_chunk& chunk) { return check_leaves(*reduce, record, chunk); },
        [&](const panoptim_record& record) { return has_columns(record, columns); }, elements);
}

}  // namespace panoptim
