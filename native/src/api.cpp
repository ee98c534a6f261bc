// The door: what the shared object exports besides panoptim_supported().
#include <stddef.h>

#include "columns.h"
#include "decompose.h"
#include "error.h"
#include "panoptim.h"
#include "panoptim_rules.h"
#include "pool.h"
#include "product.h"
#include "rows.h"
#include "rules.h"
#include "step.h"
#include "steps_factored.h"

#define FIELD(structure, name) {#structure, #name, offsetof(structure, name)}
#define SIZE(structure) {#structure, "sizeof", sizeof(structure)}

static const panoptim_field FIELDS[] = {
    FIELD(panoptim_record, address),
    FIELD(panoptim_record, dtype),
    FIELD(panoptim_record, slots),
    FIELD(panoptim_record, compute),
    FIELD(panoptim_record, scalar_class),
    FIELD(panoptim_record, elements),
    FIELD(panoptim_record, origin),
    FIELD(panoptim_record, rows),
    FIELD(panoptim_record, columns),
    FIELD(panoptim_record, begin),
    FIELD(panoptim_record, end),
    FIELD(panoptim_record, id),
    FIELD(panoptim_record, reduced),
    FIELD(panoptim_record, partials),
    FIELD(panoptim_record, leaf),
    FIELD(panoptim_record, reserved),
    SIZE(panoptim_record),

    FIELD(panoptim_reduction, leaves),
    FIELD(panoptim_reduction, rows),
    FIELD(panoptim_reduction, row_leaves),
    FIELD(panoptim_reduction, columns),
    FIELD(panoptim_reduction, reduced),
    FIELD(panoptim_reduction, tensor),
    FIELD(panoptim_reduction, reserved),
    SIZE(panoptim_reduction),

    FIELD(panoptim_chunk, tensor),
    FIELD(panoptim_chunk, elements),
    FIELD(panoptim_chunk, start),
    SIZE(panoptim_chunk),

    FIELD(panoptim_row, scalar),
    FIELD(panoptim_row, flags),
    FIELD(panoptim_row, reserved),
    FIELD(panoptim_row, keep),
    FIELD(panoptim_row, average),
    FIELD(panoptim_row, noise),
    SIZE(panoptim_row),

    FIELD(panoptim_table, size),
    FIELD(panoptim_table, rule),
    FIELD(panoptim_table, record_size),
    FIELD(panoptim_table, chunk_size),
    FIELD(panoptim_table, records),
    FIELD(panoptim_table, chunks),
    FIELD(panoptim_table, record_count),
    FIELD(panoptim_table, chunk_count),
    FIELD(panoptim_table, elements),
    FIELD(panoptim_table, epoch),
    FIELD(panoptim_table, reduced),
    FIELD(panoptim_table, partials),
    FIELD(panoptim_table, reduced_count),
    FIELD(panoptim_table, leaf_count),
    FIELD(panoptim_table, reductions),
    FIELD(panoptim_table, reduction_count),
    FIELD(panoptim_table, tickets),
    FIELD(panoptim_table, reserved),
    SIZE(panoptim_table),

    FIELD(panoptim_control, size),
    FIELD(panoptim_control, found_inf),
    FIELD(panoptim_control, scale),
    FIELD(panoptim_control, inverse_scale),
    FIELD(panoptim_control, clip_float32),
    FIELD(panoptim_control, growth_tracker),
    FIELD(panoptim_control, hysteresis_tracker),
    FIELD(panoptim_control, reserved),
    FIELD(panoptim_control, clip_float64),
    FIELD(panoptim_control, norm),
    FIELD(panoptim_control, applied),
    FIELD(panoptim_control, skipped),
    SIZE(panoptim_control),

    FIELD(panoptim_extras, flags),
    FIELD(panoptim_extras, copy_rounding),
    FIELD(panoptim_extras, statistic_leaves),
    FIELD(panoptim_extras, statistics),
    SIZE(panoptim_extras),

    FIELD(panoptim_step, size),
    FIELD(panoptim_step, classes),
    FIELD(panoptim_step, rows),
    FIELD(panoptim_step, row_size),
    FIELD(panoptim_step, ring),
    FIELD(panoptim_step, control),
    FIELD(panoptim_step, extras),
    SIZE(panoptim_step),

    FIELD(panoptim_row_gradient, tensor),
    FIELD(panoptim_row_gradient, scalar_class),
    FIELD(panoptim_row_gradient, rows),
    FIELD(panoptim_row_gradient, columns),
    FIELD(panoptim_row_gradient, indices),
    FIELD(panoptim_row_gradient, values),
    FIELD(panoptim_row_gradient, count),
    FIELD(panoptim_row_gradient, dtype),
    FIELD(panoptim_row_gradient, flags),
    FIELD(panoptim_row_gradient, moving),
    FIELD(panoptim_row_gradient, workspace),
    FIELD(panoptim_row_gradient, distinct),
    FIELD(panoptim_row_gradient, elements),
    FIELD(panoptim_row_gradient, items),
    SIZE(panoptim_row_gradient),

    FIELD(panoptim_row_step, size),
    FIELD(panoptim_row_step, rule),
    FIELD(panoptim_row_step, gradient_size),
    FIELD(panoptim_row_step, phases),
    FIELD(panoptim_row_step, gradients),
    FIELD(panoptim_row_step, gradient_count),
    SIZE(panoptim_row_step),

    FIELD(panoptim_rule, size),
    FIELD(panoptim_rule, abi),
    FIELD(panoptim_rule, name),
    FIELD(panoptim_rule, states),
    FIELD(panoptim_rule, optional_states),
    FIELD(panoptim_rule, scalars),
    FIELD(panoptim_rule, flags),
    FIELD(panoptim_rule, row_size),
    FIELD(panoptim_rule, instructions),
    FIELD(panoptim_rule, multiply_add),
    FIELD(panoptim_rule, float32),
    FIELD(panoptim_rule, float64),
    SIZE(panoptim_rule),

    FIELD(panoptim_map, size),
    FIELD(panoptim_map, kind),
    FIELD(panoptim_map, target),
    FIELD(panoptim_map, source),
    FIELD(panoptim_map, a),
    FIELD(panoptim_map, b),
    SIZE(panoptim_map),

    FIELD(panoptim_reduce, size),
    FIELD(panoptim_reduce, kind),
    FIELD(panoptim_reduce, left),
    FIELD(panoptim_reduce, right),
    FIELD(panoptim_reduce, factor),
    FIELD(panoptim_reduce, p),
    FIELD(panoptim_reduce, nonfinite),
    FIELD(panoptim_reduce, reserved),
    FIELD(panoptim_reduce, leaves),
    FIELD(panoptim_reduce, leaf_count),
    FIELD(panoptim_reduce, result),
    SIZE(panoptim_reduce),

    FIELD(panoptim_factored, value),
    FIELD(panoptim_factored, gradient),
    FIELD(panoptim_factored, row_average),
    FIELD(panoptim_factored, column_average),
    FIELD(panoptim_factored, average),
    FIELD(panoptim_factored, value_dtype),
    FIELD(panoptim_factored, gradient_dtype),
    FIELD(panoptim_factored, compute),
    FIELD(panoptim_factored, unused),
    FIELD(panoptim_factored, flags),
    FIELD(panoptim_factored, batch),
    FIELD(panoptim_factored, rows),
    FIELD(panoptim_factored, columns),
    FIELD(panoptim_factored, first_block),
    FIELD(panoptim_factored, blocks),
    FIELD(panoptim_factored, first_matrix),
    FIELD(panoptim_factored, row_partials),
    FIELD(panoptim_factored, column_partials),
    FIELD(panoptim_factored, row_factors),
    FIELD(panoptim_factored, column_factors),
    FIELD(panoptim_factored, lr),
    FIELD(panoptim_factored, average_weight),
    FIELD(panoptim_factored, square_eps),
    FIELD(panoptim_factored, mean_floor),
    FIELD(panoptim_factored, factor_limit),
    FIELD(panoptim_factored, clip_threshold),
    FIELD(panoptim_factored, scale_eps),
    FIELD(panoptim_factored, decay),
    FIELD(panoptim_factored, scaled_decay),
    FIELD(panoptim_factored, momentum),
    FIELD(panoptim_factored, rms),
    FIELD(panoptim_factored, step_size),
    FIELD(panoptim_factored, keep),
    SIZE(panoptim_factored),

    FIELD(panoptim_factored_block, tensor),
    FIELD(panoptim_factored_block, matrix),
    FIELD(panoptim_factored_block, matrices),
    FIELD(panoptim_factored_block, row),
    FIELD(panoptim_factored_block, rows),
    FIELD(panoptim_factored_block, column),
    FIELD(panoptim_factored_block, columns),
    SIZE(panoptim_factored_block),

    FIELD(panoptim_factored_step, size),
    FIELD(panoptim_factored_step, record_size),
    FIELD(panoptim_factored_step, block_size),
    FIELD(panoptim_factored_step, reserved),
    FIELD(panoptim_factored_step, tensors),
    FIELD(panoptim_factored_step, blocks),
    FIELD(panoptim_factored_step, begin),
    FIELD(panoptim_factored_step, end),
    FIELD(panoptim_factored_step, first_block),
    FIELD(panoptim_factored_step, end_block),
    FIELD(panoptim_factored_step, partials),
    FIELD(panoptim_factored_step, sums),
    SIZE(panoptim_factored_step),

    FIELD(panoptim_blas, size),
    FIELD(panoptim_blas, reserved),
    FIELD(panoptim_blas, sgemm),
    FIELD(panoptim_blas, dgemm),
    FIELD(panoptim_blas, ssyevd),
    FIELD(panoptim_blas, dsyevd),
    FIELD(panoptim_blas, sgeqrf),
    FIELD(panoptim_blas, dgeqrf),
    FIELD(panoptim_blas, sorgqr),
    FIELD(panoptim_blas, dorgqr),
    FIELD(panoptim_blas, config),
    FIELD(panoptim_blas, onednn),
    SIZE(panoptim_blas),

    FIELD(panoptim_product, size),
    FIELD(panoptim_product, dtype),
    FIELD(panoptim_product, flags),
    FIELD(panoptim_product, following),
    FIELD(panoptim_product, batch),
    FIELD(panoptim_product, rows),
    FIELD(panoptim_product, columns),
    FIELD(panoptim_product, inner),
    FIELD(panoptim_product, leading),
    FIELD(panoptim_product, addresses),
    FIELD(panoptim_product, alpha),
    FIELD(panoptim_product, beta),
    FIELD(panoptim_product, gamma),
    SIZE(panoptim_product),

    FIELD(panoptim_decomposition, size),
    FIELD(panoptim_decomposition, dtype),
    FIELD(panoptim_decomposition, kind),
    FIELD(panoptim_decomposition, reserved),
    FIELD(panoptim_decomposition, batch),
    FIELD(panoptim_decomposition, rows),
    FIELD(panoptim_decomposition, columns),
    FIELD(panoptim_decomposition, leading),
    FIELD(panoptim_decomposition, matrices),
    FIELD(panoptim_decomposition, eigenvalues),
    FIELD(panoptim_decomposition, failed),
    SIZE(panoptim_decomposition),

    FIELD(panoptim_field, structure),
    FIELD(panoptim_field, field),
    FIELD(panoptim_field, offset),
    SIZE(panoptim_field),

    FIELD(panoptim_api, size),
    FIELD(panoptim_api, abi),
    FIELD(panoptim_api, isa),
    FIELD(panoptim_api, compiler),
    FIELD(panoptim_api, rules_hash),
    FIELD(panoptim_api, fields),
    FIELD(panoptim_api, field_count),
    FIELD(panoptim_api, last_error),
    FIELD(panoptim_api, pool_create),
    FIELD(panoptim_api, pool_destroy),
    FIELD(panoptim_api, step),
    FIELD(panoptim_api, step_rows),
    FIELD(panoptim_api, register_rule),
    FIELD(panoptim_api, map),
    FIELD(panoptim_api, reduce),
    FIELD(panoptim_api, open_blas),
    FIELD(panoptim_api, open_onednn),
    FIELD(panoptim_api, multiply),
    FIELD(panoptim_api, step_factored),
    FIELD(panoptim_api, decompose),
    SIZE(panoptim_api),
};

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static int32_t guarded_step(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step, const void*,
                            const void*, const void*, const void*, const void*, const void*, const void*, const void*) {
    return panoptim::step(pool, table, step);
}

static int32_t guarded_step_rows(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step,
                                 const panoptim_row_step* rows, const void*, const void*, const void*, const void*, const void*,
                                 const void*, const void*, const void*) {
    return panoptim::step_rows(pool, table, step, rows);
}

static int32_t guarded_map(panoptim_pool* pool, const panoptim_table* table, const panoptim_map* map, const void*, const void*,
                           const void*, const void*, const void*, const void*, const void*, const void*) {
    return panoptim::map(pool, table, map);
}

static int32_t guarded_reduce(panoptim_pool* pool, const panoptim_table* table, panoptim_reduce* reduce, const void*, const void*,
                              const void*, const void*, const void*, const void*, const void*, const void*) {
    return panoptim::reduce(pool, table, reduce);
}

static int32_t guarded_multiply(panoptim_pool* pool, const panoptim_blas* blas, const panoptim_product* product, const void*,
                                const void*, const void*, const void*, const void*, const void*, const void*, const void*) {
    return panoptim::multiply(pool, blas, product);
}

static int32_t guarded_step_factored(panoptim_pool* pool, const panoptim_factored_step* step, const void*, const void*, const void*,
                                     const void*, const void*, const void*, const void*, const void*) {
    return panoptim::step_factored(pool, step);
}

static int32_t guarded_decompose(panoptim_pool* pool, const panoptim_blas* blas, panoptim_decomposition* decomposition, const void*,
                                 const void*, const void*, const void*, const void*, const void*, const void*, const void*) {
    return panoptim::decompose(pool, blas, decomposition);
}

static const panoptim_api API = {
    sizeof(panoptim_api),
    PANOPTIM_ABI,
    PANOPTIM_ISA,
    COMPILER,
    PANOPTIM_RULES_HASH,
    FIELDS,
    sizeof FIELDS / sizeof *FIELDS,
    panoptim::last_error,
    panoptim::pool_create,
    panoptim::pool_destroy,
    guarded_step,
    guarded_step_rows,
    panoptim::register_rule,
    guarded_map,
    guarded_reduce,
    panoptim::open_blas,
    panoptim::open_onednn,
    guarded_multiply,
    guarded_step_factored,
    guarded_decompose,
};

const panoptim_api* panoptim_get_api(uint32_t abi) { return abi == PANOPTIM_ABI ? &API : nullptr; }
