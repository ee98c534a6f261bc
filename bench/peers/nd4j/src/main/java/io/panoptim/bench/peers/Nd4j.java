package io.panoptim.bench.peers;

import io.panoptim.tools.bench.Contender;
import io.panoptim.tools.bench.Inputs;
import io.panoptim.tools.bench.PeerProcess;
import io.panoptim.tools.bench.Setting;
import io.panoptim.tools.bench.Workload;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.GradientUpdater;
import org.nd4j.linalg.learning.config.AdaGrad;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;

/**
 * ND4J's updaters, as DL4J calls them: the gradient is replaced by the update, which is then subtracted from the parameters. So
 * gradients are restored before every step, which is not timed.
 */
public final class Nd4j implements Contender {
    private final List<INDArray> values = new ArrayList<>();
    private final List<INDArray> gradients = new ArrayList<>();
    private final List<INDArray> originals = new ArrayList<>();
    private final List<GradientUpdater<?>> updaters = new ArrayList<>();
    private final int threads;
    private int iteration;

    private Nd4j(Workload workload, Setting setting) {
        threads = setting.threads();
        for (int k = 0; k < workload.shapes().size(); k++) {
            long[] shape = workload.shapes().get(k);
            INDArray value = org.nd4j.linalg.factory.Nd4j.create(DataType.FLOAT, shape);
            INDArray gradient = org.nd4j.linalg.factory.Nd4j.create(DataType.FLOAT, shape);
            for (long i = 0; i < value.length(); i++) {
                value.data().put(i, Inputs.value(k, i));
                gradient.data().put(i, Inputs.gradient(k, i));
            }
            IUpdater config = switch (workload.rule()) {
                case ADAM -> new Adam(Workload.LR);
                case ADAGRAD -> new AdaGrad(Workload.LR, 1e-10);
                case ADAMW, SGD -> throw new IllegalArgumentException(workload.rule() + " is not ND4J's");
            };
            INDArray state = org.nd4j.linalg.factory.Nd4j.create(DataType.FLOAT, 1, config.stateSize(value.length()));
            values.add(value);
            gradients.add(gradient);
            originals.add(gradient.dup());
            updaters.add(config.instantiate(state, true));
        }
    }

    /** Serves {@code panoptim bench}. */
    public static void main(String[] arguments) throws IOException {
        PeerProcess.serve(Nd4j::new);
    }

    @Override
    public String description() {
        return "ND4J 1.0.0-M2.1, " + threads + " threads";
    }

    @Override
    public double steps(int count) {
        long nanos = 0;
        for (int i = 0; i < count; i++, iteration++) {
            for (int k = 0; k < values.size(); k++) {
                gradients.get(k).assign(originals.get(k));
            }
            long start = System.nanoTime();
            for (int k = 0; k < values.size(); k++) {
                updaters.get(k).applyUpdater(gradients.get(k), iteration, 0);
                values.get(k).subi(gradients.get(k));
            }
            nanos += System.nanoTime() - start;
        }
        return nanos * 1e-9;
    }

    @Override
    public double checksum() {
        double sum = 0;
        for (INDArray value : values) {
            for (float x : value.data().asFloat()) {
                sum += Math.abs(x);
            }
        }
        return sum;
    }

    @Override
    public void close() {}
}
