// A step's passes over its chunks, and the first of them where a rule reduces: sums over leaves, what follows from them.
#pragma once
#include "convert.h"
#include "sweep.h"

namespace panoptim {

struct Riding;

struct Pass {
    const panoptim_table& table;
    const panoptim_step& step;
    const RuleSweeps& rule;
    const Riding& riding;
    bool reduces;
};

// Contiguous elements of one tensor with the same scalars.
struct Piece {
    uint64_t start;
    uint64_t elements;
    const double* reduced;
};

template <class T>
Row<T> rounded(const panoptim_row& given) {
    Row<T> row;
    for (int i = 0; i < PANOPTIM_SCALARS; ++i) row.scalar[i] = T(given.scalar[i]);
    row.flags = given.flags;
    row.keep = T(given.keep);
    row.average = T(given.average);
    row.noise = given.noise;
    return row;
}

inline char* element(const panoptim_record& record, int column, uint64_t index) {
    return reinterpret_cast<char*>(record.address[column]) + index * bytes_of(record.dtype[column]);
}

inline bool in_place(const panoptim_record& record, int columns) {
    for (int column = 0; column < columns; ++column) {
        if (record.dtype[column] != record.compute) return false;
    }
    return true;
}

// Whether a tensor is of a class for which nothing is reduced, or absent.
inline bool idle(const Pass& pass, const panoptim_record& record) {
    return record.scalar_class < 0 ||
           (pass.rule.reduction.flag & ~pass.step.rows[record.scalar_class].flags) != 0;
}

// A chunk's part in each row, where every row has reduced values of its own; otherwise the chunk.
template <class Body>
void each_piece(const Pass& pass, const panoptim_record& record, const panoptim_chunk& chunk, Body body) {
    const RuleReduction& reduction = pass.rule.reduction;
    if (!pass.reduces || idle(pass, record)) return body(Piece{chunk.start, chunk.elements, nullptr});
    const double* reduced = pass.table.reduced + record.reduced * reduction.reduced;
    if (reduction.over != PANOPTIM_ROW) return body(Piece{chunk.start, chunk.elements, reduced});
    uint64_t row = (chunk.start - record.begin) / record.columns;
    uint64_t in_row = (chunk.start - record.begin) % record.columns;
    for (uint64_t done = 0; done < chunk.elements; ++row, in_row = 0) {
        const uint64_t rest = chunk.elements - done;
        const uint64_t elements = record.columns - in_row < rest ? record.columns - in_row : rest;
        body(Piece{chunk.start + done, elements, reduced + row * reduction.reduced});
        done += elements;
    }
}

// Whether any row of the step asks for the rule's reduction.
bool reduces(const panoptim_step& step, const RuleReduction& reduction);

// What comes before the sums are taken.
void prepare(const Pass& pass);

// The body of a loop over chunks: takes the sums over their leaves.
void measure_chunks(const void* pass, uint64_t begin, uint64_t end);

// Computes the reduced values from the leaves' sums.
void finish(const Pass& pass);

}  // namespace panoptim
