package io.panoptim.train;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Column;
import io.panoptim.engine.Control;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MapOperation;
import io.panoptim.engine.Measurement;
import io.panoptim.engine.Reduction;
import io.panoptim.engine.Stream;
import io.panoptim.optim.GradientTables;
import io.panoptim.optim.Optimizer;
import io.panoptim.tensor.Parameter;
import java.util.List;

/**
 * Clips gradients where they lie, as {@code torch.nn.utils.clip_grad_norm_} and its kin; apart from a step, of which it is one more pass
 * over memory: {@link TrainingStep} clips in the same pass as the update. One of these serves a list of parameters, or one or
 * several optimizers, for as long as they live: it keeps tables of their gradients, and brings them up to date before each call.
 *
 * <p>Parameters without a gradient are left out, as are frozen groups; tied parameters count once; empty tensors add nothing; sparse
 * gradients are refused. Types may be mixed: the norm is that of all elements, each widened exactly to float64.
 *
 * <p>torch takes the norm of each tensor in its type, and then the norm of these. The norm here is added up exactly, and the same on
 * every engine and for every order of the parameters: that of infinity is torch's bit for bit, others are off torch's by what torch's
 * rounding adds up to. The coefficient that follows from a norm, and what it does to gradients, are torch's bit for bit.
 */
public final class GradientClipper implements AutoCloseable {
    private static final double EUCLIDEAN = 2;

    private final GradientTables gradients;
    private final Control control;

    private GradientClipper(GradientTables gradients) {
        this.gradients = gradients;
        this.control = gradients.engine().control();
    }

    /** Of some parameters, whoever optimizes them. */
    public static GradientClipper of(Engine engine, List<Parameter> parameters) {
        return new GradientClipper(GradientTables.of("GradientClipper", engine, parameters));
    }

    /** Of all parameters of one or several optimizers, also of groups that are added later. */
    public static GradientClipper of(Optimizer... optimizers) {
        return new GradientClipper(GradientTables.of("GradientClipper", List.of(optimizers)));
    }

    /** {@link #clipGradNorm(double, double, boolean)} by the Euclidean norm; one that is not finite is no error. */
    public Reduction.Result clipGradNorm(double maxNorm) {
        return clipGradNorm(maxNorm, EUCLIDEAN, false);
    }

    /**
     * Multiplies all gradients by {@code maxNorm / (norm + 1e-6)}, or by 1 if that is more: {@code torch.nn.utils.clip_grad_norm_}.
     *
     * @param maxNorm not negative; with infinity, as in torch, the coefficient is 1, but here that of a norm that is not finite, too, which
     *     is torch's NaN
     * @param normType the norm's order: positive, or infinity
     * @param errorIfNonfinite whether to refuse, before anything is written, if the norm is infinite or NaN. That waits for the device;
     *     otherwise gradients are multiplied by the coefficient that follows from such a norm: 0 or NaN
     * @return the norm before clipping; it can be read until the next call, and reading it waits for the device
     */
    public Reduction.Result clipGradNorm(double maxNorm, double normType, boolean errorIfNonfinite) {
        Measurement measurement = new Measurement(normType, checked(maxNorm), false, false);
        Reduction.Result norm = measure(measurement, errorIfNonfinite);
        gradients.scale(measurement, control);
        return norm;
    }

    /** The norm of all gradients, which stay as they are: {@code torch.nn.utils.get_total_norm}. See {@link #clipGradNorm(double, double, boolean)}. */
    public Reduction.Result getTotalNorm(double normType, boolean errorIfNonfinite) {
        return measure(new Measurement(normType, Double.POSITIVE_INFINITY, false, false), errorIfNonfinite);
    }

    /** Clips by a norm that is known already: {@code torch.nn.utils.clip_grads_with_norm_}. */
    public void clipGradsWithNorm(double maxNorm, double totalNorm) {
        gradients.clip(new Measurement(EUCLIDEAN, checked(maxNorm), false, false), totalNorm);
    }

    /** Brings every element to at least {@code -clipValue} and at most {@code clipValue}: {@code torch.nn.utils.clip_grad_value_}. */
    public void clipGradValue(double clipValue) {
        if (!(clipValue >= 0)) {
            throw PanoptimException.invalid("GradientClipper.clipGradValue", "a value of " + clipValue + ": expected a number that is not "
                    + "negative");
        }
        gradients.map(MapOperation.clamp(Column.GRADIENT, -clipValue, clipValue));
    }

    /**
     * Clips each gradient by its own Euclidean norm: Keras' {@code clipnorm} ({@code keras/src/optimizers/base_optimizer.py}, {@code clip_by_norm}).
     *
     * @param clipNorm finite and more than 0
     */
    public void clipNorm(double clipNorm) {
        gradients.clipEach(positive("clipNorm", clipNorm));
    }

    /** {@link #adaptiveClipGrad(double, double)} with timm's defaults, 0.01 and 1e-3. */
    public void adaptiveClipGrad() {
        adaptiveClipGrad(0.01, 1e-3);
    }

    /**
     * Adaptive gradient clipping, as {@code timm.utils.agc.adaptive_clip_grad}: where the norm of a unit's gradient is not less than
     * {@code clipFactor} times the norm of its parameters, it is brought there. A unit is an index of the first dimension, or all of a
     * vector. Norms are Euclidean. Coefficients are computed in float64 and rounded once, and so are off timm's by some units in the
     * last place.
     *
     * @param clipFactor finite and more than 0
     * @param eps the least norm that parameters count as having
     * @see <a href="https://arxiv.org/abs/2102.06171">Brock et al., High-Performance Large-Scale Image Recognition Without Normalization</a>
     */
    public void adaptiveClipGrad(double clipFactor, double eps) {
        gradients.clipAdaptively(positive("adaptiveClipGrad", clipFactor), positive("adaptiveClipGrad", eps));
    }

    /** The stream on which parameters' gradients are clipped: optimizers have their own. */
    public void stream(Stream ordered) {
        gradients.stream(ordered);
    }

    /** The block that norms are measured into; {@link Control#latest} does not wait for the device. */
    public Control control() {
        return control;
    }

    private Reduction.Result measure(Measurement measurement, boolean errorIfNonfinite) {
        gradients.measure(measurement, control);
        if (errorIfNonfinite && !Double.isFinite(control.read().norm())) {
            throw PanoptimException.invalid("GradientClipper", "The total norm of order " + order(measurement.p()) + " for gradients from "
                    + "`parameters` is non-finite, so it cannot be clipped. To disable this error and scale the gradients by the "
                    + "non-finite norm anyway, set `error_if_nonfinite=False`");
        }
        return () -> control.read().norm();
    }

    private static String order(double p) {
        return p == Double.POSITIVE_INFINITY ? "inf" : "" + p;
    }

    static double checked(double maxNorm) {
        if (!(maxNorm >= 0)) {
            throw PanoptimException.invalid("clipGradNorm", "a maximum norm of " + maxNorm + ": expected a number that is not negative");
        }
        return maxNorm;
    }

    private static double positive(String call, double value) {
        if (!(value > 0) || value == Double.POSITIVE_INFINITY) {
            throw PanoptimException.invalid("GradientClipper." + call, "expected a finite number more than 0, found " + value);
        }
        return value;
    }

    /** Frees the tables; gradients are not touched. */
    @Override
    public void close() {
        gradients.close();
        control.close();
    }
}
