#include "columns.h"

#include <string.h>

#include <algorithm>

#include "check.h"
#include "chunks.h"
#include "error.h"
#include "lanes.h"
#include "leaf.h"
#include "loop.h"
#include "map.h"
#include "reduce.h"

namespace panoptim {

// ---- The loops, over contiguous elements; plain names, so that a test finds each in the object code.

template <class T>
using MapLoop = void (*)(T a, T b, uint64_t elements, T* target, const T* source);

template <class T>
using ReduceLoop = double (*)(T factor, double p, uint64_t elements, const T* left, const T* right);

template <class Operation, class T>
static PANOPTIM_INLINE void map(T a, T b, uint64_t elements, T* target, const T* source) {
    if constexpr (Operation::SOURCE) {
        const auto loop = [=](uint64_t count, T* __restrict target, const T* __restrict source) {
#pragma omp simd
            for (uint64_t i = 0; i < count; ++i) target[i] = Operation::apply(target[i], source[i], a, b);
        };
        each_line(elements, loop, target, source);
    } else {
        const auto loop = [=](uint64_t count, T* target) {
#pragma omp simd
            for (uint64_t i = 0; i < count; ++i) target[i] = Operation::apply(target[i], T(0), a, b);
        };
        each_line(elements, loop, target);
    }
}

// One element for each of the first lanes.
template <class Reduction, class T>
static PANOPTIM_INLINE void join_row(T factor, double p, uint64_t count, double* __restrict lanes, const T* left, const T* right) {
#pragma omp simd
    for (uint64_t i = 0; i < count; ++i) {
        lanes[i] = Reduction::join(lanes[i], Reduction::term(double(left[i] * factor), double(right[i] * factor), p));
    }
}

// Over one leaf. That most rows are full is told to the compiler: it then unrolls their loop. With so few columns at work memory
// is kept busy only by looking far ahead.
template <class Reduction, class T>
static PANOPTIM_INLINE double reduce(T factor, double p, uint64_t elements, const T* left, const T* right) {
    alignas(64) double lanes[PANOPTIM_LANES] = {};
    uint64_t done = 0;
    for (; elements - done >= PANOPTIM_LANES; done += PANOPTIM_LANES) {
        for (uint64_t i = done; i < done + PANOPTIM_LANES; i += LINE<T>) {
            prefetch<16384>(left + i);
            if (left != right) prefetch<16384>(right + i);
        }
        join_row<Reduction>(factor, p, PANOPTIM_LANES, lanes, left + done, right + done);
    }
    join_row<Reduction>(factor, p, elements - done, lanes, left + done, right + done);
    return join_lanes(lanes, Reduction::join);
}

#define MAP_LOOP(name, type, dtype, T)                                                                                       \
    extern "C" void panoptim_map_##name##_##dtype(T a, T b, uint64_t elements, T* target, const T* source) {              \
        map<type, T>(a, b, elements, target, source);                                                                     \
    }
#define REDUCE_LOOP(name, type, second, dtype, T)                                                                        \
    extern "C" double panoptim_reduce_##name##_##dtype(T factor, double p, uint64_t elements, const T* left,              \
                                                       [[maybe_unused]] const T* right) {                                 \
        return reduce<type, T>(factor, p, elements, left, second);                                                        \
    }
#define REDUCE_LOOPS(name, type, second)             \
    REDUCE_LOOP(name, type, second, float32, float)  \
    REDUCE_LOOP(name, type, second, float64, double)

MAP_LOOP(scale, operation::Scale, float32, float)
MAP_LOOP(scale, operation::Scale, float64, double)
MAP_LOOP(lerp, operation::Lerp, float32, float)
MAP_LOOP(lerp, operation::Lerp, float64, double)
MAP_LOOP(axpy, operation::Axpy, float32, float)
MAP_LOOP(axpy, operation::Axpy, float64, double)
MAP_LOOP(clamp, operation::Clamp, float32, float)
MAP_LOOP(clamp, operation::Clamp, float64, double)
REDUCE_LOOPS(dot, Dot, right)
REDUCE_LOOPS(square, Dot, left)
REDUCE_LOOPS(absolute_sum, AbsoluteSum, left)
REDUCE_LOOPS(absolute_maximum, AbsoluteMaximum, left)
REDUCE_LOOPS(absolute_power, AbsolutePower, left)

struct MapLoops {
    MapLoop<float> float32;
    MapLoop<double> float64;
};

struct ReduceLoops {
    ReduceLoop<float> float32;
    ReduceLoop<double> float64;
};

#define BOTH(loop) {loop##_float32, loop##_float64}

// By kind; zero and cast do without arithmetic.
static constexpr MapLoops MAP_LOOPS[] = {{},
                                         BOTH(panoptim_map_scale),
                                         {},
                                         BOTH(panoptim_map_lerp),
                                         BOTH(panoptim_map_axpy),
                                         BOTH(panoptim_map_clamp)};

static constexpr ReduceLoops BY_KIND[] = {BOTH(panoptim_reduce_dot), BOTH(panoptim_reduce_absolute_sum),
                                          BOTH(panoptim_reduce_absolute_maximum), BOTH(panoptim_reduce_absolute_power)};

// The dot product of a column with itself.
static constexpr ReduceLoops SQUARE = BOTH(panoptim_reduce_square);

// ---- Columns of a record

template <class T>
static T* in_place(const panoptim_record& record, uint32_t column, uint64_t start) {
    return reinterpret_cast<T*>(element(record, int(column), start));
}

// Elements in float32: where they lie or, if they have another type, in the buffer.
static float* loaded(const panoptim_record& record, uint32_t column, uint64_t start, uint64_t elements, float* buffer) {
    return widened(record.dtype[column], element(record, int(column), start), elements, buffer);
}

// What is in a buffer goes to a column of another type than float32.
static void stored(const panoptim_record& record, uint32_t column, uint64_t start, uint64_t elements, const float* buffer) {
    narrow(record.dtype[column], buffer, elements, element(record, int(column), start));
}

static void zero(const panoptim_record& record, uint32_t target, uint64_t start, uint64_t elements) {
    memset(element(record, int(target), start), 0, elements * bytes_of(record.dtype[target]));
}

// Through a buffer, since conversions work on whole vectors.
static void cast(const panoptim_record& record, uint32_t target, uint32_t source, uint64_t start, uint64_t elements) {
    const uint64_t to = bytes_of(record.dtype[target]);
    if (record.dtype[target] == record.dtype[source]) {
        memcpy(element(record, int(target), start), element(record, int(source), start), elements * to);
        return;
    }
    alignas(64) float buffer[BLOCK];
    for (uint64_t done = 0; done < elements; done += BLOCK) {
        const uint64_t count = std::min(BLOCK, elements - done);
        const float* from = loaded(record, source, start + done, count, buffer);
        if (from != buffer) memcpy(buffer, from, count * sizeof(float));
        if (record.dtype[target] == PANOPTIM_FLOAT32) memcpy(element(record, int(target), start + done), buffer, count * to);
        stored(record, target, start + done, count, buffer);
    }
}

static void map_converted(const panoptim_map& map, const panoptim_record& record, bool source, uint64_t start, uint64_t elements) {
    alignas(64) float target_buffer[BLOCK];
    alignas(64) float source_buffer[BLOCK];
    for (uint64_t done = 0; done < elements; done += BLOCK) {
        const uint64_t count = std::min(BLOCK, elements - done);
        float* target = loaded(record, map.target, start + done, count, target_buffer);
        const float* from = source ? loaded(record, map.source, start + done, count, source_buffer) : nullptr;
        MAP_LOOPS[map.kind].float32(float(map.a), float(map.b), count, target, from);
        stored(record, map.target, start + done, count, target);
    }
}

// ---- The verbs

struct MapPass {
    const panoptim_table& table;
    const panoptim_map& map;
    uint64_t columns;
};

static void map_chunk(const MapPass& pass, const panoptim_record& record, const panoptim_chunk& chunk) {
    const panoptim_map& map = pass.map;
    const bool source = has_source(map.kind);
    if (map.kind == PANOPTIM_MAP_ZERO) {
        zero(record, map.target, chunk.start, chunk.elements);
    } else if (map.kind == PANOPTIM_MAP_CAST) {
        cast(record, map.target, map.source, chunk.start, chunk.elements);
    } else if (record.compute == PANOPTIM_FLOAT64) {
        MAP_LOOPS[map.kind].float64(map.a, map.b, chunk.elements, in_place<double>(record, map.target, chunk.start),
                                    source ? in_place<double>(record, map.source, chunk.start) : nullptr);
    } else if (record.dtype[map.target] != PANOPTIM_FLOAT32 || (source && record.dtype[map.source] != PANOPTIM_FLOAT32)) {
        map_converted(map, record, source, chunk.start, chunk.elements);
    } else {
        MAP_LOOPS[map.kind].float32(float(map.a), float(map.b), chunk.elements, in_place<float>(record, map.target, chunk.start),
                                    source ? in_place<float>(record, map.source, chunk.start) : nullptr);
    }
}

static void map_chunks(const void* context, uint64_t begin, uint64_t end) {
    const MapPass& pass = *static_cast<const MapPass*>(context);
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        if (has_columns(record, pass.columns)) map_chunk(pass, record, chunk);
    }
}

int32_t map(panoptim_pool* pool, const panoptim_table* table, const panoptim_map* map) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "map: the pool is null");
    uint64_t elements = 0;
    if (int32_t code = check_map(table, map, &elements)) return code;
    const MapPass pass{*table, *map, columns_of(*map)};
    Chunks(*pool, *table, elements).run(map_chunks, &pass);
    return PANOPTIM_OK;
}

struct ReducePass {
    const panoptim_table& table;
    panoptim_reduce& reduce;
    uint64_t columns;
};

template <class T>
static bool all_finite(uint64_t elements, const T* x) {
    uint64_t other = 0;
    for (uint64_t i = 0; i < elements; ++i) other += !(x[i] - x[i] == 0);
    return other == 0;
}

// The terms are not negative, except for those of a dot product of two columns: an element that is not finite shows in the result.
template <class T>
static double reduce_leaf(panoptim_reduce& reduce, ReduceLoop<T> loop, uint64_t elements, const T* left, const T* right) {
    const double result = loop(T(reduce.factor), reduce.p, elements, left, right);
    if (!(result - result == 0) && !all_finite(elements, left)) __atomic_store_n(&reduce.nonfinite, 1, __ATOMIC_RELAXED);
    return result;
}

static double reduce_leaf(panoptim_reduce& reduce, const panoptim_record& record, uint64_t start, uint64_t elements) {
    const uint32_t right = reduce.kind == PANOPTIM_REDUCE_DOT ? reduce.right : reduce.left;
    const ReduceLoops& loops = reduce.kind == PANOPTIM_REDUCE_DOT && right == reduce.left ? SQUARE : BY_KIND[reduce.kind];
    if (record.compute == PANOPTIM_FLOAT64) {
        return reduce_leaf(reduce, loops.float64, elements, in_place<double>(record, reduce.left, start),
                           in_place<double>(record, right, start));
    }
    alignas(64) float left_buffer[PANOPTIM_LEAF];
    alignas(64) float right_buffer[PANOPTIM_LEAF];
    const float* left = loaded(record, reduce.left, start, elements, left_buffer);
    return reduce_leaf(reduce, loops.float32, elements, left,
                       right == reduce.left ? left : loaded(record, right, start, elements, right_buffer));
}

static void reduce_chunks(const void* context, uint64_t begin, uint64_t end) {
    const ReducePass& pass = *static_cast<const ReducePass*>(context);
    for (uint64_t i = begin; i < end; ++i) {
        const panoptim_chunk& chunk = pass.table.chunks[i];
        const panoptim_record& record = pass.table.records[chunk.tensor];
        const bool has = has_columns(record, pass.columns);
        double* leaf = pass.reduce.leaves + record.leaf + (chunk.start - record.begin) / PANOPTIM_LEAF;
        for (uint64_t done = 0; done < chunk.elements; done += PANOPTIM_LEAF) {
            const uint64_t elements = std::min<uint64_t>(PANOPTIM_LEAF, chunk.elements - done);
            *leaf++ = has ? reduce_leaf(pass.reduce, record, chunk.start + done, elements) : 0;
        }
    }
}

static double largest(const double* leaves, uint64_t count) {
    double result = 0;
    for (uint64_t i = 0; i < count; ++i) result = AbsoluteMaximum::join(result, leaves[i]);
    return result;
}

int32_t reduce(panoptim_pool* pool, const panoptim_table* table, panoptim_reduce* reduce) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "reduce: the pool is null");
    uint64_t elements = 0;
    if (int32_t code = check_reduce(table, reduce, &elements)) return code;
    const ReducePass pass{*table, *reduce, columns_of(*reduce)};
    Chunks chunks(*pool, *table, elements);
    chunks.run(reduce_chunks, &pass);
    reduce->result = reduce->kind == PANOPTIM_REDUCE_ABSOLUTE_MAXIMUM ? largest(reduce->leaves, reduce->leaf_count)
                                                                      : exact_sum(reduce->leaves, reduce->leaf_count, 1);
    return PANOPTIM_OK;
}

}  // namespace panoptim
