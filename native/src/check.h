// What the verbs refuse.
#pragma once
#include "panoptim.h"

namespace panoptim {

// Refuses what cannot be done, before anything is written; counts the elements that the step updates.
//
// Everything is checked at every step and nothing is remembered: addresses and classes may change between two steps.
// It costs 30 to 50 ns a tensor, 3 % of a step over tensors of 1,024 elements, and the step then finds them in the cache.
int32_t check(const panoptim_table* table, const panoptim_step* step, uint64_t* elements);

// The same for a step over some rows: the table and the step, too. The indices are looked at when they are sorted.
int32_t check_rows(const panoptim_table* table, const panoptim_step* step, const panoptim_row_step* rows);

// The same for the verbs over columns, which work on every tensor that has these.
int32_t check_map(const panoptim_table* table, const panoptim_map* map, uint64_t* elements);
int32_t check_reduce(const panoptim_table* table, const panoptim_reduce* reduce, uint64_t* elements);

}  // namespace panoptim
