package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
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

    /** A dot product, a norm of order 1 or an absolute maximum. */
    static double reduce(Table table, Reduction reduction) {
        LeafSum sum = new LeafSum(1);
        double largest = 0;
        for (int i = 0; i < table.size(); i++) {
            if (table.has(i, reduction.columns())) {
                TensorEntry entry = table.entry(i);
                Tensor left = column(table, i, reduction.left());
                Tensor right = reduction.kind() == Reduction.Kind.DOT ? column(table, i, reduction.right()) : left;
                for (long element = entry.begin(); element < entry.end(); element++) {
                    double a = left.get(element);
                    if (reduction.kind() == Reduction.Kind.ABSOLUTE_MAXIMUM) {
                        largest = Math.max(largest, Math.abs(a));
                    } else {
                        double term = reduction.kind() == Reduction.Kind.DOT ? a * right.get(element) : Math.abs(a);
                        sum.add(element - entry.begin(), new double[] {term});
                    }
                }
                sum.endLeaf();
            }
        }
        return reduction.kind() == Reduction.Kind.ABSOLUTE_MAXIMUM ? largest : sum.sums()[0];
    }

    private static Tensor column(Table table, int tensor, int column) {
        return Objects.requireNonNull(table.tensor(tensor, column));
    }
}
