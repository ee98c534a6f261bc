package io.panoptim.optim.matrix;

import io.panoptim.engine.AuxAdamRow;
import io.panoptim.engine.CMath;
import io.panoptim.engine.Column;
import io.panoptim.engine.Engine;
import io.panoptim.engine.Extras;
import io.panoptim.engine.Rows;
import io.panoptim.engine.Rule;
import io.panoptim.engine.Stream;
import io.panoptim.engine.Table;
import io.panoptim.engine.TensorEntry;
import io.panoptim.optim.MatrixOptimizer.Matrix;
import io.panoptim.optim.ParamGroup;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What {@link MuonWithAuxAdam} does with the parameters of its other groups. */
final class AuxAdamStep implements AutoCloseable {
    static final List<String> STATES = List.of("exp_avg", "exp_avg_sq");

    private static final int LR = MuonWithAuxAdam.SCHEMA.index("lr");
    private static final int WEIGHT_DECAY = MuonWithAuxAdam.SCHEMA.index("weight_decay");
    private static final int BETAS = MuonWithAuxAdam.SCHEMA.index("betas");
    private static final int EPS = MuonWithAuxAdam.SCHEMA.index("eps");

    /** What has one row of scalars: parameters that share a group and have taken as many steps, which stays so. */
    private record Class(ParamGroup group, long steps) {}

    private final Engine engine;
    private final Supplier<Stream> stream;
    private final List<Matrix> examples = new ArrayList<>();
    private @Nullable Table table;
    private Rows rows = new Rows(1);

    AuxAdamStep(Engine engine, Supplier<Stream> stream) {
        this.engine = engine;
        this.stream = stream;
    }

    void build(List<Matrix> stepping) {
        Map<Class, Integer> numbers = new LinkedHashMap<>();
        int[] classes = new int[stepping.size()];
        List<TensorEntry> entries = new ArrayList<>();
        for (int i = 0; i < stepping.size(); i++) {
            Matrix parameter = stepping.get(i);
            Class own = new Class(parameter.group(), parameter.step());
            if (!numbers.containsKey(own)) {
                numbers.put(own, examples.size());
                examples.add(parameter);
            }
            classes[i] = numbers.get(own);
            entries.add(new TensorEntry(parameter.name(), parameter.tensor(), parameter.gradient(),
                    STATES.stream().map(parameter::state).toList(), parameter.id()));
        }
        table = engine.table(Rule.AUX_ADAM, entries);
        table.classes(classes);
        rows = new Rows(Math.max(1, examples.size()));
    }

    void moved(Map<Integer, Tensor> gradients) {
        if (table != null) {
            table.point(Column.GRADIENT, gradients);
        }
    }

    void run() {
        if (table == null || examples.isEmpty()) {
            return;
        }
        for (int i = 0; i < examples.size(); i++) {
            ParamGroup group = examples.get(i).group();
            double step = examples.get(i).step() + 1;
            double beta1 = group.value(BETAS);
            double beta2 = group.value(BETAS + 1);
            rows.set(i, AuxAdamRow.DECAY, 1 - group.value(LR) * group.value(WEIGHT_DECAY))
                    .set(i, AuxAdamRow.EXP_AVG_WEIGHT, 1 - beta1)
                    .set(i, AuxAdamRow.EXP_AVG_SQ_WEIGHT, 1 - beta2)
                    .set(i, AuxAdamRow.CORRECTION, 1 - CMath.pow(beta1, step))
                    .set(i, AuxAdamRow.SQUARE_CORRECTION, 1 - CMath.pow(beta2, step))
                    .set(i, AuxAdamRow.EPS, group.value(EPS))
                    .set(i, AuxAdamRow.STEP_SIZE, -group.value(LR));
        }
        engine.step(table, rows, null, Extras.NONE, stream.get());
    }

    /** Frees it all; it can be built again. */
    @Override
    public void close() {
        examples.clear();
        if (table != null) {
            table.close();
            table = null;
        }
    }
}
