package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.RowGradient;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Table;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/** Steps the rows of one sparse gradient: each is copied, updated and copied back. */
final class RowLoop {
    private static final double[] NONE = {};

    private final RowGradient step;
    private final Arithmetic arithmetic;
    private final Scalars scalars;
    private final UpdateLoop loop;
    private final int columns;
    /** Value and states, where they lie and as one row. */
    private final List<Tensor> tensors = new ArrayList<>();
    private final List<Tensor> copies = new ArrayList<>();
    private final Tensor gradient;
    private final Elements elements;

    RowLoop(Table table, Rule rule, RowGradient step, Rows rows) {
        this.step = step;
        Tensor value = table.entry(step.tensor()).value();
        arithmetic = Arithmetic.of(value.dtype().computeType());
        scalars = new Scalars(rows, step.scalarClass(), NONE, arithmetic);
        loop = UpdateLoop.of(rule);
        columns = value.shape()[0] == 0 ? 0 : Math.toIntExact(value.elements() / value.shape()[0]);
        tensors.add(value);
        for (int slot = 0; slot < table.entry(step.tensor()).states().size(); slot++) {
            tensors.add(table.tensor(step.tensor(), Column.STATE + slot));
        }
        tensors.forEach(tensor -> copies.add(copy()));
        gradient = copy();
        elements = new Elements(arithmetic, copies.getFirst(), gradient, copies.subList(1, copies.size()).toArray(Tensor[]::new));
    }

    private Tensor copy() {
        return Tensor.of(MemorySegment.ofArray(new double[columns]), DType.FLOAT64, columns);
    }

    void run() {
        SortedMap<Long, List<Long>> places = new TreeMap<>();
        for (long i = 0; i < step.gradient().count(); i++) {
            places.computeIfAbsent((long) step.gradient().indices().get(i), row -> new ArrayList<>()).add(i);
        }
        if (step.moving() != null) {
            addMoving(step.moving(), places);
        }
        places.forEach(this::update);
    }

    /** Adds the rows that move without a gradient, and marks those that will. */
    private void addMoving(Tensor moving, SortedMap<Long, List<Long>> places) {
        MemorySegment words = moving.segment();
        places.keySet().forEach(row -> words.set(ValueLayout.JAVA_LONG_UNALIGNED, row / 64 * 8, words.get(ValueLayout.JAVA_LONG_UNALIGNED, row / 64 * 8) | 1L << row % 64));
        for (long row = 0; row < tensors.getFirst().shape()[0]; row++) {
            if ((words.get(ValueLayout.JAVA_LONG_UNALIGNED, row / 64 * 8) >>> row % 64 & 1) != 0) {
                places.putIfAbsent(row, List.of());
            }
        }
    }

    private void update(long row, List<Long> places) {
        for (int i = 0; i < tensors.size(); i++) {
            for (int column = 0; column < columns; column++) {
                copies.get(i).set(column, tensors.get(i).get(row * columns + column));
            }
        }
        if (step.summed() || places.isEmpty()) {
            use(places);
        } else {
            places.forEach(place -> use(List.of(place)));
        }
        for (int i = 0; i < tensors.size(); i++) {
            for (int column = 0; column < columns; column++) {
                tensors.get(i).set(row * columns + column, copies.get(i).get(column));
            }
        }
    }

    /** Updates with the sum, in order, of what some places have. */
    private void use(List<Long> places) {
        for (int column = 0; column < columns; column++) {
            double sum = 0;
            for (int i = 0; i < places.size(); i++) {
                double given = step.gradient().values().get(places.get(i) * columns + column);
                double signed = step.negated() ? -given : given;
                sum = i == 0 ? signed : arithmetic.add(sum, signed);
            }
            gradient.set(column, sum);
        }
        loop.run(arithmetic, scalars, elements);
    }
}
