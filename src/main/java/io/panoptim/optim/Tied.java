package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One place in memory that is optimized: a parameter, with all others that lie there. */
class Tied {
    final String name;
    final List<Parameter> parameters = new ArrayList<>();

    Tied(String name) {
        this.name = name;
    }

    /** A parameter's own name, or one by its place among a group's. */
    static String name(Parameter parameter, int index, int group) {
        String name = parameter.name();
        return name != null ? name : "parameter " + index + " of group " + group;
    }

    final Tensor value() {
        return parameters.getFirst().value();
    }

    /** The number that its first element has in the tensor that it is a slice of; 0 for a whole one. */
    final long origin() {
        return parameters.getFirst().origin();
    }

    /**
     * The dense gradient of any of the parameters, or null.
     *
     * @param optimizer its name, for messages
     * @throws PanoptimException when they have several gradients
     */
    final @Nullable Tensor gradientNow(String optimizer) {
        Tensor gradient = parameters.getFirst().gradient();
        for (int i = 1; i < parameters.size(); i++) {
            Tensor other = parameters.get(i).gradient();
            if (gradient == null) {
                gradient = other;
            } else if (other != null && !Place.of(other).equals(Place.of(gradient))) {
                throw scattered(optimizer);
            }
        }
        if (gradient != null && parameters.size() > 1 && sparseGradientNow(optimizer) != null) {
            throw scattered(optimizer);
        }
        return gradient;
    }

    /** The sparse one, likewise. */
    final @Nullable SparseGradient sparseGradientNow(String optimizer) {
        SparseGradient gradient = parameters.getFirst().sparseGradient();
        for (int i = 1; i < parameters.size(); i++) {
            SparseGradient other = parameters.get(i).sparseGradient();
            if (gradient == null) {
                gradient = other;
            } else if (other != null && !other.equals(gradient)) {
                throw scattered(optimizer);
            }
        }
        return gradient;
    }

    private PanoptimException scattered(String optimizer) {
        return PanoptimException.invalid(optimizer + ".step", "'" + name + "' is tied to another parameter, but their gradients "
                + "lie in different places: accumulate them in one tensor");
    }
}
