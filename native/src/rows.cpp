#include "rows.h"

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

// Elements of a row that a thread takes at a time.
static constexpr uint64_t PIECE = 16384;

static uint64_t pieces(const panoptim_row_gradient& gradient) { return (gradient.columns + PIECE - 1) / PIECE; }

// ---- Sorting: the rows that have a gradient, and for each the places of its indices, in the order given.

// Where things lie in the workspace, whose second half is free again after sorting.
struct Order {
    uint64_t* rows;       // of all indices, sorted
    uint64_t* places;     // their places among the indices
    uint64_t* distinct;   // each row once
    uint64_t* first;      // where its places begin

    explicit Order(const panoptim_row_gradient& gradient)
        : rows(gradient.workspace),
          places(rows + gradient.count),
          distinct(places + gradient.count),
          first(distinct + gradient.count) {}

    uint64_t end(const panoptim_row_gradient& gradient, uint64_t i) const {
        return i + 1 < gradient.distinct ? first[i + 1] : gradient.count;
    }
};

static uint64_t digit(uint64_t row, int pass) { return row >> (8 * pass) & 0xff; }

static int digits(uint64_t largest) {
    int count = 0;
    for (; largest != 0; largest >>= 8) ++count;
    return count;
}

// One pass of a radix sort; what is equal keeps its order.
static void distribute(const uint64_t* rows, const uint64_t* places, uint64_t count, int pass, uint64_t* to_rows,
                       uint64_t* to_places) {
    uint64_t next[257] = {};
    for (uint64_t i = 0; i < count; ++i) ++next[digit(rows[i], pass) + 1];
    for (int i = 1; i < 256; ++i) next[i] += next[i - 1];
    for (uint64_t i = 0; i < count; ++i) {
        const uint64_t to = next[digit(rows[i], pass)]++;
        to_rows[to] = rows[i];
        to_places[to] = places[i];
    }
}

static int32_t sort(panoptim_row_gradient& gradient) {
    const Order order(gradient);
    const uint64_t count = gradient.count;
    // Read once: whoever else has the indices may change them meanwhile.
    bool sorted = true;
    uint64_t largest = 0;
    for (uint64_t i = 0; i < count; ++i) {
        const int64_t index = gradient.indices[i];
        if (index < 0 || uint64_t(index) >= gradient.rows) {
            return fail(PANOPTIM_INVALID, "step: index %lld, at %llu, is not one of the %llu rows of tensor %u", (long long)index,
                        (unsigned long long)i, (unsigned long long)gradient.rows, gradient.tensor);
        }
        sorted &= uint64_t(index) >= largest;
        largest = std::max(largest, uint64_t(index));
        order.rows[i] = uint64_t(index);
        order.places[i] = i;
    }
    if (!sorted) {
        uint64_t *rows = order.rows, *places = order.places, *other_rows = order.distinct, *other_places = order.first;
        for (int pass = 0; pass < digits(largest); ++pass) {
            distribute(rows, places, count, pass, other_rows, other_places);
            std::swap(rows, other_rows);
            std::swap(places, other_places);
        }
        if (rows != order.rows) {
            memcpy(order.rows, rows, count * sizeof *rows);
            memcpy(order.places, places, count * sizeof *places);
        }
    }
    gradient.distinct = 0;
    for (uint64_t i = 0; i < count; ++i) {
        if (i > 0 && order.rows[i] == order.rows[i - 1]) continue;
        order.distinct[gradient.distinct] = order.rows[i];
        order.first[gradient.distinct++] = i;
    }
    return PANOPTIM_OK;
}

// ---- Updating

struct RowPass {
    const panoptim_table& table;
    const panoptim_step& step;
    const panoptim_row_step& rows;
    const RuleSweeps& rule;
};

// Some columns of one row, and the places of its gradients.
struct Stretch {
    uint64_t row;
    uint64_t begin, end;  // columns
    const uint64_t* places;
    uint64_t repeats;
};

// The sum of what some places have for [begin, begin + elements), in their order, from the first one on.
template <class T>
static T* sum(const panoptim_row_gradient& gradient, const uint64_t* places, uint64_t repeats, uint64_t begin, uint64_t elements,
              T* total, T* buffer) {
    const auto values = [&](uint64_t place, T* converted) {
        char* all = static_cast<char*>(const_cast<void*>(gradient.values));
        return widened(gradient.dtype, all + (places[place] * gradient.columns + begin) * bytes_of(gradient.dtype), elements,
                       converted);
    };
    if (repeats == 0) {
        std::fill_n(total, elements, T(0));
        return total;
    }
    T* first = values(0, total);
    if (repeats == 1 && (gradient.flags & PANOPTIM_NEGATE) == 0) return first;
    const T sign = gradient.flags & PANOPTIM_NEGATE ? T(-1) : T(1);
#pragma omp simd
    for (uint64_t i = 0; i < elements; ++i) total[i] = sign * first[i];
    for (uint64_t repeat = 1; repeat < repeats; ++repeat) {
        const T* more = values(repeat, buffer);
#pragma omp simd
        for (uint64_t i = 0; i < elements; ++i) total[i] = total[i] + sign * more[i];
    }
    return total;
}

template <class T>
static void update(const panoptim_record& record, const panoptim_row_gradient& gradient, const Stretch& stretch, const Row<T>& row,
                   Sweep<T> sweep) {
    alignas(64) T buffer[PANOPTIM_STATE + PANOPTIM_STATES][BLOCK];
    alignas(64) T repeated[BLOCK];
    T* data[PANOPTIM_STATE + PANOPTIM_STATES];
    const int columns = PANOPTIM_STATE + record.slots;
    for (uint64_t begin = stretch.begin; begin < stretch.end; begin += BLOCK) {
        const uint64_t elements = std::min(BLOCK, stretch.end - begin);
        const uint64_t start = stretch.row * gradient.columns + begin;
        for (int column = 0; column < columns; ++column) {
            if (column == PANOPTIM_GRADIENT) continue;
            data[column] = widened(record.dtype[column], element(record, column, start), elements, buffer[column]);
        }
        const uint64_t together = gradient.flags & PANOPTIM_SUM ? stretch.repeats : std::min<uint64_t>(stretch.repeats, 1);
        uint64_t used = 0;
        do {
            data[PANOPTIM_GRADIENT] = sum(gradient, stretch.places + used, together, begin, elements, buffer[PANOPTIM_GRADIENT],
                                          repeated);
            sweep(row, nullptr, elements, data);
            used += together;
        } while (used < stretch.repeats);
        for (int column = 0; column < columns; ++column) {
            if (column == PANOPTIM_GRADIENT) continue;
            narrow(record.dtype[column], buffer[column], elements, element(record, column, start));
        }
    }
}

// How many rows from this one on do not move, within one word of bits.
static uint64_t until_moving(const uint64_t* moving, uint64_t row) {
    const uint64_t rest = moving[row / 64] >> row % 64;
    return rest == 0 ? 64 - row % 64 : uint64_t(__builtin_ctzll(rest));
}

// Items are pieces of rows: of those with a gradient or, where others move too, of all, from which those that do not are left out.
template <class T>
static void update_items(const RowPass& pass, const panoptim_row_gradient& gradient, uint64_t begin, uint64_t end, Sweep<T> sweep) {
    const panoptim_record& record = pass.table.records[gradient.tensor];
    const Row<T> row = rounded<T>(pass.step.rows[gradient.scalar_class]);
    const Order order(gradient);
    const uint64_t parts = pieces(gradient);
    uint64_t i = uint64_t(std::lower_bound(order.distinct, order.distinct + gradient.distinct, begin / parts) - order.distinct);
    for (uint64_t item = begin; item < end; ++item) {
        const uint64_t part = item % parts;
        Stretch stretch{item / parts, part * PIECE, std::min(gradient.columns, (part + 1) * PIECE), nullptr, 0};
        if (gradient.moving == nullptr) {
            i = stretch.row;
            stretch.row = order.distinct[i];
        } else {
            if (const uint64_t still = until_moving(gradient.moving, stretch.row)) {
                item = (stretch.row + still) * parts - 1;
                continue;
            }
            while (i < gradient.distinct && order.distinct[i] < stretch.row) ++i;
        }
        if (i < gradient.distinct && order.distinct[i] == stretch.row) {
            stretch.places = order.places + order.first[i];
            stretch.repeats = order.end(gradient, i) - order.first[i];
        }
        update(record, gradient, stretch, row, sweep);
    }
}

static void step_items(const void* context, uint64_t begin, uint64_t end) {
    const RowPass& pass = *static_cast<const RowPass*>(context);
    uint64_t first = 0;
    for (uint64_t i = 0; i < pass.rows.gradient_count && first < end; ++i) {
        const panoptim_row_gradient& gradient = pass.rows.gradients[i];
        const panoptim_record& record = pass.table.records[gradient.tensor];
        if (begin < gradient.items) {
            const uint64_t from = std::max(begin, first) - first;
            const uint64_t to = std::min(end, gradient.items) - first;
            if (record.compute == PANOPTIM_FLOAT64) {
                update_items(pass, gradient, from, to, pass.rule.float64[record.slots]);
            } else {
                update_items(pass, gradient, from, to, pass.rule.float32[record.slots]);
            }
        }
        first = gradient.items;
    }
}

// Counts a gradient's work; the rows that it has go on moving, if any do.
static void count(panoptim_row_gradient& gradient) {
    uint64_t stepped = gradient.distinct;
    uint64_t listed = gradient.distinct;
    if (gradient.moving != nullptr) {
        const Order order(gradient);
        for (uint64_t i = 0; i < gradient.distinct; ++i) {
            gradient.moving[order.distinct[i] / 64] |= uint64_t(1) << order.distinct[i] % 64;
        }
        stepped = 0;
        for (uint64_t word = 0; word < (gradient.rows + 63) / 64; ++word) {
            stepped += uint64_t(__builtin_popcountll(gradient.moving[word]));
        }
        listed = gradient.rows;
    }
    gradient.elements = stepped * gradient.columns;
    gradient.items = listed * pieces(gradient);
}

static void apply(panoptim_pool& pool, const RowPass& pass) {
    uint64_t items = 0;
    uint64_t elements = 0;
    for (uint64_t i = 0; i < pass.rows.gradient_count; ++i) {
        panoptim_row_gradient& gradient = pass.rows.gradients[i];
        count(gradient);
        elements += gradient.elements;
        gradient.items = items += gradient.items;
    }
    FloatingPoint environment;
    if (elements < SMALL || pool.threads == 1 || !acquire(pool)) {
        step_items(&pass, 0, items);
        return;
    }
    const uint32_t parts = uint32_t(std::min<uint64_t>(uint64_t(pool.threads), elements / BATCH));
    run(pool, {step_items, &pass, std::max<uint64_t>(1, items / (elements / BATCH)), parts}, items);
    release(pool);
}

int32_t step_rows(panoptim_pool* pool, const panoptim_table* table, const panoptim_step* step, const panoptim_row_step* rows) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "step: the pool is null");
    if (int32_t code = check_rows(table, step, rows)) return code;
    if (rows->phases & PANOPTIM_PREPARE) {
        for (uint64_t i = 0; i < rows->gradient_count; ++i) {
            if (int32_t code = sort(rows->gradients[i])) return code;
        }
    }
    if (rows->phases & PANOPTIM_APPLY) {
        apply(*pool, {*table, *step, *rows, *find_rule(rows->rule)});
    }
    return PANOPTIM_OK;
}

}  // namespace panoptim
