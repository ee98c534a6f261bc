package io.panoptim.bench.peers;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.optimizer.Optimizer;
import ai.djl.training.tracker.Tracker;
import io.panoptim.tools.bench.Contender;
import io.panoptim.tools.bench.Inputs;
import io.panoptim.tools.bench.PeerProcess;
import io.panoptim.tools.bench.Setting;
import io.panoptim.tools.bench.Workload;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** DJL's optimizers on its PyTorch engine, as its trainer calls them: once for each parameter. */
public final class Djl implements Contender {
    private final NDManager manager = NDManager.newBaseManager();
    private final List<NDArray> values = new ArrayList<>();
    private final List<NDArray> gradients = new ArrayList<>();
    private final Optimizer optimizer;
    private final int threads;

    private Djl(Workload workload, Setting setting) {
        threads = setting.threads();
        for (int k = 0; k < workload.shapes().size(); k++) {
            Shape shape = new Shape(workload.shapes().get(k));
            float[] value = new float[Math.toIntExact(shape.size())];
            float[] gradient = new float[value.length];
            for (int i = 0; i < value.length; i++) {
                value[i] = Inputs.value(k, i);
                gradient[i] = Inputs.gradient(k, i);
            }
            values.add(manager.create(value, shape));
            gradients.add(manager.create(gradient, shape));
        }
        Tracker rate = Tracker.fixed((float) Workload.LR);
        optimizer = switch (workload.rule()) {
            case ADAM -> Optimizer.adam().optLearningRateTracker(rate).build();
            case SGD -> Optimizer.sgd().setLearningRateTracker(rate).optMomentum(0.9f).build();
            case ADAMW, ADAGRAD -> throw new IllegalArgumentException(workload.rule() + " is not DJL's");
        };
    }

    /** Serves {@code panoptim bench}. */
    public static void main(String[] arguments) throws IOException {
        System.setProperty("ai.djl.pytorch.num_threads", System.getenv("OMP_NUM_THREADS"));
        PeerProcess.serve(Djl::new);
    }

    @Override
    public String description() {
        return "DJL " + Engine.class.getPackage().getImplementationVersion() + ", " + Engine.getInstance().getEngineName() + " "
                + Engine.getInstance().getVersion() + ", " + threads + " threads";
    }

    @Override
    public double steps(int count) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            for (int k = 0; k < values.size(); k++) {
                optimizer.update(Integer.toString(k), values.get(k), gradients.get(k));
            }
        }
        return (System.nanoTime() - start) * 1e-9;
    }

    @Override
    public double checksum() {
        double sum = 0;
        for (NDArray value : values) {
            for (float x : value.toFloatArray()) {
                sum += Math.abs(x);
            }
        }
        return sum;
    }

    @Override
    public void close() {
        manager.close();
    }
}
