package io.panoptim.tools.train.nn;

import io.panoptim.tensor.Parameter;
import java.util.List;

/** Layers one after the other. */
public final class Network implements Layer {
    private final List<Layer> layers;

    public Network(Layer... layers) {
        this.layers = List.of(layers);
    }

    @Override
    public List<Weights> weights() {
        return layers.stream().flatMap(layer -> layer.weights().stream()).toList();
    }

    /** What an optimizer updates. */
    public List<Parameter> parameters() {
        return weights().stream().map(Weights::parameter).toList();
    }

    /** Takes over what the optimizer has written, and forgets the gradients. */
    public void read() {
        weights().forEach(Weights::read);
    }

    /** Hands the gradients to the optimizer. */
    public void write() {
        weights().forEach(Weights::write);
    }

    /** Takes the gradients away, so that a step skips the parameters. */
    public void freeze() {
        weights().forEach(Weights::freeze);
    }

    @Override
    public double[] forward(double[] inputs, int rows) {
        double[] batch = inputs;
        for (Layer layer : layers) {
            batch = layer.forward(batch, rows);
        }
        return batch;
    }

    @Override
    public double[] backward(double[] gradient) {
        double[] back = gradient;
        for (Layer layer : layers.reversed()) {
            back = layer.backward(back);
        }
        return back;
    }
}
