// The verbs over whole columns of a table.
#pragma once
#include "panoptim.h"

namespace panoptim {

inline bool has_source(uint32_t kind) {
    return kind == PANOPTIM_MAP_CAST || kind == PANOPTIM_MAP_LERP || kind == PANOPTIM_MAP_AXPY;
}

// The columns that a verb works on, by bit.
inline uint64_t columns_of(const panoptim_map& map) {
    return uint64_t(1) << map.target | (has_source(map.kind) ? uint64_t(1) << map.source : 0);
}
inline uint64_t columns_of(const panoptim_reduce& reduce) {
    return uint64_t(1) << reduce.left | (reduce.kind == PANOPTIM_REDUCE_DOT ? uint64_t(1) << reduce.right : 0);
}

inline bool has_columns(const panoptim_record& record, uint64_t columns) {
    for (; columns != 0; columns &= columns - 1) {
        if (record.address[__builtin_ctzll(columns)] == 0) return false;
    }
    return true;
}

int32_t map(panoptim_pool* pool, const panoptim_table* table, const panoptim_map* map);

int32_t reduce(panoptim_pool* pool, const panoptim_table* table, panoptim_reduce* reduce);

}  // namespace panoptim
