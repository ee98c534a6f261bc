package io.panoptim.bench.peers;

import io.panoptim.tools.bench.Contender;
import io.panoptim.tools.bench.Inputs;
import io.panoptim.tools.bench.PeerProcess;
import io.panoptim.tools.bench.Setting;
import io.panoptim.tools.bench.Workload;
import java.io.IOException;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Adagrad;
import org.bytedeco.pytorch.AdagradOptions;
import org.bytedeco.pytorch.Adam;
import org.bytedeco.pytorch.AdamOptions;
import org.bytedeco.pytorch.AdamW;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Optimizer;
import org.bytedeco.pytorch.SGD;
import org.bytedeco.pytorch.SGDOptions;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/** LibTorch's optimizers in C++ ({@code torch::optim}), through JavaCPP. */
public final class LibTorch implements Contender {
    private final Workload workload;
    private final TensorVector parameters = new TensorVector();
    private final Optimizer optimizer;

    private LibTorch(Workload workload, Setting setting) {
        this.workload = workload;
        torch.set_num_threads(setting.threads());
        for (int k = 0; k < workload.shapes().size(); k++) {
            long[] shape = workload.shapes().get(k);
            Tensor value = torch.zeros(shape);
            Tensor gradient = torch.zeros(shape);
            FloatPointer values = value.data_ptr_float();
            FloatPointer gradients = gradient.data_ptr_float();
            for (long i = 0; i < value.numel(); i++) {
                values.put(i, Inputs.value(k, i));
                gradients.put(i, Inputs.gradient(k, i));
            }
            value.set_requires_grad(true);
            value.mutable_grad().put(gradient);
            parameters.push_back(value);
        }
        optimizer = switch (workload.rule()) {
            case ADAMW -> new AdamW(parameters, new AdamWOptions(Workload.LR));
            case ADAM -> new Adam(parameters, new AdamOptions(Workload.LR));
            case SGD -> new SGD(parameters, momentum(new SGDOptions(Workload.LR)));
            case ADAGRAD -> new Adagrad(parameters, new AdagradOptions(Workload.LR));
        };
    }

    private static SGDOptions momentum(SGDOptions options) {
        options.momentum().put(0.9);
        return options;
    }

    /** Serves {@code panoptim bench}. */
    public static void main(String[] arguments) throws IOException {
        PeerProcess.serve(LibTorch::new);
    }

    @Override
    public String description() {
        return "LibTorch " + Tensor.class.getPackage().getImplementationVersion() + " (C++ through JavaCPP), " + torch.get_num_threads() + " threads";
    }

    @Override
    public double steps(int count) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
            try (PointerScope scope = new PointerScope()) {
                optimizer.step();
            }
        }
        return (System.nanoTime() - start) * 1e-9;
    }

    @Override
    public double checksum() {
        double sum = 0;
        for (int k = 0; k < workload.shapes().size(); k++) {
            Tensor value = parameters.get(k);
            FloatPointer values = value.data_ptr_float();
            for (long i = 0; i < value.numel(); i++) {
                sum += Math.abs(values.get(i));
            }
        }
        return sum;
    }

    @Override
    public void close() {
        optimizer.close();
        parameters.close();
    }
}
