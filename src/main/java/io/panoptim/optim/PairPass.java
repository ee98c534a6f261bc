package io.panoptim.optim;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Passes of a rule without states over pairs of tensors, outside an optimizer's steps: one table, while the pairs stay. */
final class PairPass implements AutoCloseable {
    /**
     * What one pass changes, and by what.
     *
     * @param name for messages
     * @param group whose options give the row
     * @param target the rule's value
     * @param source the rule's gradient
     * @param rows how many rows there are for a rule that takes sums over each
     */
    record Pair(String name, @Nullable ParamGroup group, Tensor target, Tensor source, long rows) {
        Pair(String name, ParamGroup group, Tensor target, Tensor source) {
            this(name, group, target, source, 1);
        }
    }

    /** Computes the row of a group. */
    interface RowOf {
        void set(@Nullable ParamGroup group, Rows rows, int row);
    }

    private final Engine engine;
    private final Rule rule;
    private final Supplier<Stream> stream;
    private @Nullable Table table;
    private List<Pair> pairsInTable = List.of();
    private List<@Nullable ParamGroup> groups = List.of();
    private Rows rows = new Rows(1);

    PairPass(Engine engine, Rule rule, Supplier<Stream> stream) {
        this.engine = engine;
        this.rule = rule;
        this.stream = stream;
    }

    void run(List<Pair> pairs, RowOf rowOf) {
        if (table == null || !pairs.equals(pairsInTable)) {
            build(pairs);
        }
        for (int row = 0; row < groups.size(); row++) {
            rowOf.set(groups.get(row), rows, row);
        }
        if (!pairs.isEmpty()) {
            engine.step(table, rows, null, Extras.NONE, stream.get());
        }
    }

    private void build(List<Pair> pairs) {
        List<TensorEntry> topology = new ArrayList<>();
        pairs.forEach(pair -> topology.add(new TensorEntry(pair.name, pair.target, pair.source, List.of(), topology.size(), pair.rows)));
        Table built = engine.table(rule, topology);
        close();
        table = built;
        pairsInTable = List.copyOf(pairs);
        groups = pairs.stream().map(Pair::group).distinct().toList();
        built.classes(pairs.stream().mapToInt(pair -> groups.indexOf(pair.group)).toArray());
        rows = new Rows(Math.max(1, groups.size()));
    }

    @Override
    public void close() {
        if (table != null) {
            table.close();
            table = null;
        }
    }
}
