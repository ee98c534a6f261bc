package io.panoptim.tools.train.nn;

import java.util.List;

/** A function of a batch that can be differentiated. It remembers its last batch. */
public interface Layer {
    /** What it learns; nothing by default. */
    default List<Weights> weights() {
        return List.of();
    }

    /** The outputs of a batch of so many rows. */
    double[] forward(double[] inputs, int rows);

    /** Given the gradient of the last batch's outputs, adds to the weights' gradients, and returns that of the inputs. */
    double[] backward(double[] gradient);
}
