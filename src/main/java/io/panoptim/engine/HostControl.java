package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.ffi.panoptim_control;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A control block in the CPU's memory, where everything has happened when a call returns. */
public final class HostControl implements Control {
    private static final Outcome SKIPPED = Outcome.of(true);

    private final MemorySegment block = ControlBlock.allocate(Arena.ofAuto());
    private final HostEngine engine;
    /** Those of the last measurement: the next one is mostly the same. */
    private Reduction norm = Reduction.norm(Column.GRADIENT, 2);
    private Reduction parts = norm.parts();
    private boolean closed;

    HostControl(HostEngine engine) {
        this.engine = engine;
    }

    /** One of the CPU's blocks that is open, or a refusal. */
    static HostControl of(String call, Control control) {
        if (!(control instanceof HostControl own)) {
            throw PanoptimException.invalid(call, "the control block is another device's");
        }
        if (own.closed) {
            throw new PanoptimException(Code.CLOSED, call, "the control block is closed");
        }
        return own;
    }

    /** The {@code panoptim_control}; it lives as long as this object. */
    public MemorySegment segment() {
        return block;
    }

    /** The coefficients by which a step multiplies gradients, one after the other, in one compute type. */
    public double unscale() {
        return panoptim_control.inverse_scale(block);
    }

    /** See {@link #unscale}. */
    public double clip(Arithmetic arithmetic) {
        return arithmetic == Arithmetic.FLOAT64 ? panoptim_control.clip_float64(block) : panoptim_control.clip_float32(block);
    }

    @Override
    public boolean foundInf() {
        of("Control.foundInf", this);
        return ControlBlock.foundInf(block);
    }

    @Override
    public Tensor scale() {
        return Tensor.of(block.asSlice(panoptim_control.scale$offset(), Float.BYTES), DType.FLOAT32, 1);
    }

    @Override
    public Outcome outcome() {
        return foundInf() ? SKIPPED : Outcome.TAKEN;
    }

    /** The norm that a measurement is of. */
    Reduction norm(Measurement measurement) {
        double factor = measurement.unscale() ? unscale() : 1;
        if (norm.p() != measurement.p() || norm.factor() != factor) {
            norm = Reduction.norm(Column.GRADIENT, measurement.p()).times(factor);
            parts = norm.parts();
        }
        return norm;
    }

    /** The {@link Reduction#parts} of that. */
    Reduction parts() {
        return parts;
    }

    void measured(Measurement measurement, double norm, boolean finite) {
        panoptim_control.found_inf(block, finite ? 0 : 1);
        panoptim_control.norm(block, norm);
        panoptim_control.clip_float32(block, (float) measurement.clip(Arithmetic.FLOAT32, norm));
        panoptim_control.clip_float64(block, measurement.clip(Arithmetic.FLOAT64, norm));
        if (measurement.skips() && !finite) {
            panoptim_control.skipped(block, panoptim_control.skipped(block) + 1);
        } else {
            panoptim_control.applied(block, panoptim_control.applied(block) + 1);
        }
    }

    @Override
    public Values latest() {
        of("Control.latest", this);
        return ControlBlock.values(block);
    }

    @Override
    public Values read() {
        return latest();
    }

    @Override
    public void scale(float scale, int growthTracker, int hysteresisTracker, Stream stream) {
        check("Control.scale", stream);
        Scaling.checkScale("Control.scale", scale);
        setScale(scale);
        panoptim_control.growth_tracker(block, growthTracker);
        panoptim_control.hysteresis_tracker(block, hysteresisTracker);
    }

    private void setScale(float scale) {
        panoptim_control.scale(block, scale);
        panoptim_control.inverse_scale(block, (float) (1 / (double) scale));
    }

    @Override
    public void foundInf(float foundInf, Stream stream) {
        check("Control.foundInf", stream);
        panoptim_control.found_inf(block, foundInf);
    }

    @Override
    public void scaleOf(Control other, Stream stream) {
        check("Control.scaleOf", stream);
        setScale(panoptim_control.scale(of("Control.scaleOf", other).block));
    }

    @Override
    public void merge(Control other, Stream stream) {
        check("Control.merge", stream);
        if (of("Control.merge", other).foundInf()) {
            panoptim_control.found_inf(block, 1);
        }
    }

    @Override
    public void update(Scaling scaling, Stream stream) {
        check("Control.update", stream);
        float scale = panoptim_control.scale(block);
        int growth = panoptim_control.growth_tracker(block) + 1;
        int hysteresis = scaling.hysteresis();
        if (foundInf()) {
            growth = 0;
            hysteresis = panoptim_control.hysteresis_tracker(block) - 1;
            if (hysteresis <= 0) {
                setScale((float) (scale * scaling.backoffFactor()));
            }
        } else if (growth == scaling.growthInterval()) {
            growth = 0;
            float grown = (float) (scale * scaling.growthFactor());
            if (Float.isFinite(grown)) {
                setScale(grown);
            }
        }
        panoptim_control.growth_tracker(block, growth);
        panoptim_control.hysteresis_tracker(block, hysteresis);
        panoptim_control.found_inf(block, 0);
    }

    private void check(String call, Stream stream) {
        engine.checkStream(call, stream);
        of(call, this);
    }

    @Override
    public void close() {
        closed = true;
    }
}
