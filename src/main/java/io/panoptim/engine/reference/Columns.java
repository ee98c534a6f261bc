package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.HostEngine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.Tensor;
import java.util.Objects;

/** The oracle of {@code kernels/map.h}, and of what {@code kernels/leaf.h} says of whole columns. */
final class Columns {
    private Columns() {}

    static void map(Table table, MapOperation operation) {
        for (int i = 0; i < table.size(); i++) {
            if (table.has(i, operation.columns())) {
                TensorEntry entry = table.entry(i);
                Tensor target = column(table, i, operation.target());
                Tensor source = operation.kind().hasSource() ? column(table, i, operation.source()) : target;
                Arithmetic arithmetic = Arithmetic.of(entry.value().dtype().computeType());
                for (long element = entry.begin(); element < entry.end(); element++) {
                    target.set(element, apply(arithmetic, operation, target.get(element), source.get(element)));
                }
            }
        }
    }

    private static double apply(Arithmetic arithmetic, MapOperation operation, double t, double s) {
        double a = arithmetic.round(operation.a());
        double b = arithmetic.round(operation.b());
        return switch (operation.kind()) {
            case ZERO -> 0;
            case SCALE -> arithmetic.multiply(t, a);
            case CAST -> s;
            case LERP -> arithmetic.lerp(t, s, a);
            case AXPY -> arithmetic.fma(a, s, t);
            case CLAMP -> Arithmetic.clamp(t, a, b);
        };
    }

    /** A dot product, an absolute maximum, or the sum of a norm's powers. */
    static HostEngine.Total reduce(Table table, Reduction reduction) {
        LeafSum sum = new LeafSum(1);
        double largest = 0;
        boolean finite = true;
        for (int i = 0; i < table.size(); i++) {
            if (table.has(i, reduction.columns())) {
                TensorEntry entry = table.entry(i);
                Tensor left = column(table, i, reduction.left());
                Tensor right = reduction.kind() == Reduction.Kind.DOT ? column(table, i, reduction.right()) : left;
                Arithmetic arithmetic = Arithmetic.of(entry.value().dtype().computeType());
                double factor = arithmetic.round(reduction.factor());
                for (long element = entry.begin(); element < entry.end(); element++) {
                    finite &= Double.isFinite(left.get(element));
                    double a = arithmetic.multiply(left.get(element), factor);
                    if (reduction.kind() == Reduction.Kind.ABSOLUTE_MAXIMUM) {
                        largest = Math.max(largest, Math.abs(a));
                    } else {
                        double b = arithmetic.multiply(right.get(element), factor);
                        sum.add(element - entry.begin(), new double[] {term(reduction, a, b)});
                    }
                }
                sum.endLeaf();
            }
        }
        return new HostEngine.Total(reduction.kind() == Reduction.Kind.ABSOLUTE_MAXIMUM ? largest : sum.sums()[0], finite);
    }

    private static double term(Reduction reduction, double a, double b) {
        if (reduction.kind() == Reduction.Kind.DOT) {
            return a * b;
        }
        return reduction.p() == 1 ? Math.abs(a) : Arithmetic.FLOAT64.pow(Math.abs(a), reduction.p());
    }

    private static Tensor column(Table table, int tensor, int column) {
        return Objects.requireNonNull(table.tensor(tensor, column));
    }
}
