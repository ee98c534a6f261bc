package io.panoptim.engine.reference;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Rule;
import io.panoptim.engine.SumPlan;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A table, and what followed from the sums of its last step. */
final class ReferenceTable extends Table {
    private final @Nullable UpdateLoop loop;
    /** For each row, by its place in the plan of the sums. */
    private final double[][] reduced;
    private double @Nullable [] statistics;

    ReferenceTable(ReferenceEngine engine, @Nullable Rule rule, List<TensorEntry> entries) {
        super(engine, true, rule, entries);
        loop = rule == null ? null : UpdateLoop.of(rule);
        SumPlan plan = sums();
        reduced = plan == null || rule == null || rule.sums() == null ? new double[0][]
                : new double[Math.toIntExact(plan.reducedCount())][rule.sums().reduced().size()];
    }

    UpdateLoop loop() {
        return Objects.requireNonNull(loop);
    }

    double[][] reduced() {
        return reduced;
    }

    @Override
    public double[] statistics() {
        if (statistics == null) {
            throw PanoptimException.invalid("Table.statistics", "there was no step with statistics");
        }
        return statistics.clone();
    }

    void statistics(double[] sums) {
        statistics = sums;
    }

    void checkAccessible() {
        checkAccessible("Engine.step");
    }

    void checkColumns(String call, int columns) {
        checkColumnsAccessible(call, columns);
    }

    @Override
    protected void pointed(int tensor, int column) {}

    @Override
    protected void classesChanged() {}

    @Override
    protected void free() {}
}
