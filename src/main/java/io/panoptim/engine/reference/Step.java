package io.panoptim.engine.reference;

import io.panoptim.engine.Arithmetic;
import io.panoptim.engine.Column;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.RuleSums;
import io.panoptim.engine.RuleSums.Over;
import io.panoptim.engine.SumPlan;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import java.util.stream.IntStream;

/** One step over a table: the sums that the rule takes first, if any, and the update. */
final class Step {
    private static final double[] NONE = {};

    private final ReferenceTable table;
    private final Rule rule;
    private final Rows rows;
    private final UpdateLoop loop;
    private final Riding riding;

    Step(ReferenceTable table, Rows rows, Riding riding) {
        this.table = table;
        this.riding = riding;
        this.rule = Objects.requireNonNull(table.rule());
        this.rows = rows;
        this.loop = table.loop();
    }

    void run() {
        if (!riding.skips()) {
            update();
        }
        if (riding.has(Extras.Part.ZERO_GRADIENT)) {
            for (int i = 0; i < table.size(); i++) {
                if (table.classOf(i) != Table.ABSENT) {
                    whole(i).zeroGradient();
                }
            }
        }
    }

    private void update() {
        RuleSums sums = rule.sums();
        if (sums != null && loop instanceof SummingLoop summing) {
            takeSums(sums, Objects.requireNonNull(table.sums()), summing);
        }
        Statistics statistics = new Statistics(table.classCount());
        for (int i = 0; i < table.size(); i++) {
            if (table.classOf(i) != Table.ABSENT) {
                Elements elements = whole(i);
                double[] before = riding.has(Extras.Part.STATISTICS) ? elements.values() : NONE;
                update(i);
                rideAlong(i, elements);
                if (riding.has(Extras.Part.STATISTICS)) {
                    statistics.add(table.classOf(i), elements, before);
                }
                if (riding.has(Extras.Part.WRITE_GRADIENT)) {
                    elements.writeGradient();
                }
            }
        }
        if (riding.has(Extras.Part.STATISTICS)) {
            table.statistics(statistics.sums());
        }
    }

    /** What follows from new values and states. */
    private void rideAlong(int tensor, Elements elements) {
        Tensor average = riding.has(Extras.Part.AVERAGE) ? table.tensor(tensor, Column.AVERAGE) : null;
        Tensor copy = riding.has(Extras.Part.COPY) ? table.tensor(tensor, Column.COPY) : null;
        Arithmetic arithmetic = Arithmetic.of(table.entry(tensor).value().dtype().computeType());
        double weight = arithmetic.round(rows.average(table.classOf(tensor)));
        Noise noise = new Noise(rows.noise(table.classOf(tensor)), table.entry(tensor).id(), Column.COPY);
        for (long i = elements.begin(); i < elements.end(); i++) {
            if (average != null) {
                average.set(i, arithmetic.lerp(average.get(i), elements.stored(i), weight));
            }
            if (copy != null) {
                double value = elements.stored(i);
                copy.set(i, riding.extras().stochasticCopy() ? noise.rounded(value, table.entry(tensor).origin() + i) : value);
            }
        }
    }

    private Elements whole(int tensor) {
        return elements(tensor, table.entry(tensor).begin(), table.entry(tensor).end());
    }

    private void update(int tensor) {
        TensorEntry entry = table.entry(tensor);
        Arithmetic arithmetic = Arithmetic.of(entry.value().dtype().computeType());
        SumPlan plan = table.sums();
        if (plan == null) {
            run(arithmetic, new Scalars(rows, table.classOf(tensor), NONE, arithmetic), elements(tensor, entry.begin(), entry.end()));
            return;
        }
        SumPlan.Place place = plan.places().get(tensor);
        for (long row = 0; row < place.rows(); row++) {
            run(arithmetic, new Scalars(rows, table.classOf(tensor), reduced(place, row), arithmetic), row(tensor, row));
        }
    }

    private void run(Arithmetic arithmetic, Scalars scalars, Elements elements) {
        loop.run(arithmetic, scalars, elements);
        elements.store();
    }

    private void takeSums(RuleSums sums, SumPlan plan, SummingLoop summing) {
        if (sums.over() == Over.GLOBAL) {
            summing.prepare(scalars(plan.groups().getFirst()), new Reduced(table.reduced()), shared(0));
        }
        for (SumPlan.Group group : plan.groups()) {
            if (sums.over() != Over.GLOBAL && !takes(sums, group.members().getFirst())) {
                continue;
            }
            double[][] totals = new double[Math.toIntExact(group.rows())][];
            for (int row = 0; row < totals.length; row++) {
                LeafSum sum = new LeafSum(sums.sums().size());
                for (int member : group.members()) {
                    if (takes(sums, member)) {
                        add(sum, sums, summing, member, row);
                    }
                }
                totals[row] = sum.sums();
            }
            int first = (int) group.reduced();
            summing.finish(scalars(group), group.columns(), totals,
                    new Reduced(Arrays.copyOfRange(table.reduced(), first, first + totals.length)),
                    shared(group.members().getFirst()));
        }
    }

    private boolean takes(RuleSums sums, int tensor) {
        return table.classOf(tensor) != Table.ABSENT && sums.isAsked(rows, table.classOf(tensor));
    }

    /** Adds one row of a tensor, whose leaves begin with it. */
    private void add(LeafSum sum, RuleSums sums, SummingLoop summing, int tensor, long row) {
        Arithmetic arithmetic = Arithmetic.of(table.entry(tensor).value().dtype().computeType());
        SumPlan.Place place = Objects.requireNonNull(table.sums()).places().get(tensor);
        Scalars scalars = new Scalars(rows, table.classOf(tensor), reduced(place, row), arithmetic);
        Elements elements = row(tensor, row);
        double[] terms = new double[sums.sums().size()];
        for (long i = elements.begin(); i < elements.end(); i++) {
            summing.terms(arithmetic, scalars, elements, i, terms);
            sum.add(i - elements.begin(), terms);
        }
        sum.endLeaf();
    }

    private Elements row(int tensor, long row) {
        SumPlan.Place place = Objects.requireNonNull(table.sums()).places().get(tensor);
        long begin = table.entry(tensor).begin() + row * place.columns();
        return elements(tensor, begin, begin + place.columns());
    }

    private Elements elements(int tensor, long begin, long end) {
        int row = table.classOf(tensor);
        return new Elements(table, tensor, begin, end, rows.keep(row), rows.noise(row), riding);
    }

    private double[] reduced(SumPlan.Place place, long row) {
        return table.reduced()[(int) (place.reduced() + row)];
    }

    /** The scalars as doubles, of a group's first tensor or, where that is absent, of the first row. */
    private Scalars scalars(SumPlan.Group group) {
        int row = table.classOf(group.members().getFirst());
        return new Scalars(rows, Math.max(row, 0), table.reduced()[(int) group.reduced()], Arithmetic.FLOAT64);
    }

    private Tensor[] shared(int tensor) {
        int count = rule.sharedStates().size();
        if (count == 0) {
            return new Tensor[0];
        }
        Tensor all = Objects.requireNonNull(table.tensor(tensor, Column.STATE + table.slots(tensor)));
        long rows = all.elements() / count;
        return IntStream.range(0, count).mapToObj(i -> all.slice(i * rows, rows)).toArray(Tensor[]::new);
    }
}
