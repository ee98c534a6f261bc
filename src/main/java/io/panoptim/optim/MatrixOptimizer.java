package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Optimizers whose step is composed of matrix products: every parameter is a matrix, its dimensions after the first flattened into
 * one, but for groups of an optimizer that has others beside. A subclass says what state a matrix has and what a step does with those that have a gradient.
 *
 * @param <O> the options
 */
public abstract class MatrixOptimizer<O extends Record> extends Optimizer {
    /** One place in memory that is optimized. */
    public static final class Matrix extends Tied {
        private final ParamGroup group;
        private final long id;
        private final long first;
        private final boolean transposed;
        private Map<String, Tensor> states = Map.of();
        private boolean begun;
        private long step;
        private @Nullable Tensor gradient;
        private @Nullable Tensor zeros;
        private boolean missing;

        private Matrix(String name, ParamGroup group, Parameter parameter, long id) {
            super(name);
            this.group = group;
            this.id = id;
            long[] shape = parameter.value().shape();
            this.first = shape.length == 0 ? 1 : shape[0];
            this.transposed = isTransposed(parameter.value());
        }

        private static boolean isTransposed(Tensor value) {
            long first = value.shape().length < 2 ? 0 : value.shape()[0];
            return first > 1 && value.strides()[0] == 1 && value.elements() > first;
        }

        /** Whether the first dimension is the outermost or the innermost one. */
        private static boolean isMatrix(Tensor value) {
            long first = value.shape()[0];
            return first <= 1 || value.elements() == 0 || value.strides()[0] == value.elements() / first || isTransposed(value);
        }

        public String name() {
            return name;
        }

        public ParamGroup group() {
            return group;
        }

        /** Its own in this optimizer, whatever happens. */
        public long id() {
            return id;
        }

        /** The memory of the parameter. */
        public Tensor tensor() {
            return value();
        }

        /** The gradient of the coming step. */
        public Tensor gradient() {
            return Objects.requireNonNull(gradient);
        }

        /** Whether that stands for a gradient that is missing. */
        public boolean isMissing() {
            return missing;
        }

        /** How many steps it has taken. */
        public long step() {
            return step;
        }

        /** A state by torch's key. */
        public Tensor state(String key) {
            return Objects.requireNonNull(states.get(key), key);
        }

        /** The size of the first dimension. */
        public long rows() {
            return first;
        }

        /** The product of the others. */
        public long columns() {
            return first == 0 ? 0 : value().elements() / first;
        }

        /** The rows of the row-major matrix that lies in memory: the columns, if the parameter is in column-major order. */
        public long memoryRows() {
            return transposed ? columns() : rows();
        }

        /** And its columns. */
        public long memoryColumns() {
            return transposed ? rows() : columns();
        }
    }

    private static final String STEP = "step";

    private record Restored(Map<String, Tensor> states, long step) {}

    private final TiedParameters<Matrix> matrices = new TiedParameters<>();
    private final Set<ParamGroup> ofMatrices = Collections.newSetFromMap(new IdentityHashMap<>());
    private List<Matrix> present = List.of();
    private @Nullable Memory memory;
    private boolean built;

    /** An optimizer of one group. */
    @SuppressWarnings("this-escape") // adding a group calls nothing that a subclass can override
    protected MatrixOptimizer(Engine engine, OptionSchema<O> schema, List<Parameter> parameters, O options) {
        super(engine, schema);
        addParamGroup(parameters, options);
    }

    /** Adds a group with options of its own. */
    public final void addParamGroup(List<Parameter> parameters, O options) {
        for (int i = 0; i < parameters.size(); i++) {
            Parameter parameter = parameters.get(i);
            if (isOfMatrices(options)) {
                checkMatrix(Tied.name(parameter, i, paramGroups().size()), parameter.value());
            }
        }
        add(parameters, options);
        if (isOfMatrices(options)) {
            ofMatrices.add(paramGroups().getLast());
        }
    }

    /** Whether a group was one of matrices alone when it was added. */
    protected final boolean wasOfMatrices(ParamGroup group) {
        return ofMatrices.contains(group);
    }

    private void checkMatrix(String parameter, Tensor value) {
        long[] shape = value.shape();
        Check.check(shape.length >= 2, name(), name() + " only supports 2D parameters whereas we found a parameter with size: "
                + Arrays.toString(shape) + " (those of more dimensions are flattened after the first one)");
        if (!Matrix.isMatrix(value)) {
            throw PanoptimException.unsupported(name(), "'" + parameter + "' is " + value + " with its first dimension between the "
                    + "others in memory: expected it to be the outermost or the innermost one");
        }
    }

    /** Whether a group of such options has matrices alone; called before the constructor of a subclass has run. */
    protected boolean isOfMatrices(O options) {
        return true;
    }

    /** The keys of the states of a group's parameters, each of the parameter's shape and type, 0 before the first step. */
    protected abstract List<String> stateKeys(ParamGroup group);

    /** The keys of states of one float64 number for each row, 0 before the first step. */
    protected List<String> rowStateKeys() {
        return List.of();
    }

    /** Whether the steps of a group's parameters are counted, and the count is part of the state. */
    protected boolean countsSteps(ParamGroup group) {
        return false;
    }

    /** Refuses what options of a group have been changed to, before a step and before a state dictionary is taken. */
    protected void checkGroup(ParamGroup group) {}

    /** Whether a parameter without a gradient steps as if it were zero, rather than not at all. */
    protected boolean missingAreZero() {
        return false;
    }

    /**
     * Gets ready to step some matrices, when these are others than before or have other states; refuses what it cannot do.
     *
     * @param stepping those that have a gradient, none of them empty
     */
    protected abstract void build(List<Matrix> stepping);

    /** Some gradients lie elsewhere than before: by the places of their matrices in the list given to {@link #build}. */
    protected abstract void moved(Map<Integer, @Nullable Tensor> gradients);

    /** One step of the matrices last given to {@link #build}, all of whose memory is there. */
    protected abstract void stepMatrices();

    /** Frees what {@link #build} made; called again before the next one. */
    protected abstract void freePlans();

    /** Has the next step call {@link #build} anew. */
    protected final void replan() {
        built = false;
    }

    @Override
    protected final void added(ParamGroup group) {
        matrices.add(group, paramGroups().indexOf(group), (name, parameter, id) -> new Matrix(name, group, parameter, id));
    }

    @Override
    protected final void update() {
        for (int i = 0; i < paramGroups().size(); i++) {
            checkGroup(paramGroups().get(i));
        }
        synchronize();
        if (present.isEmpty()) {
            return;
        }
        for (Matrix matrix : present) {
            matrix.value().checkAccessible(name() + ".step", "'" + matrix.name + "'");
            matrix.gradient().checkAccessible(name() + ".step", "the gradient of '" + matrix.name + "'");
        }
        try {
            stepMatrices();
        } catch (PanoptimException failed) { // in one of several passes
            throw new PanoptimException(Code.FAULT, name() + ".step", failed.getMessage(), failed);
        }
        for (int i = 0; i < present.size(); i++) {
            present.get(i).begun = true;
            present.get(i).step++;
        }
    }

    /** Finds out what has a gradient, and where; does nothing when nothing has changed. */
    private void synchronize() {
        boolean others = !built;
        boolean moved = false;
        for (int i = 0; i < matrices.all().size(); i++) {
            Matrix matrix = matrices.all().get(i);
            Tensor gradient = coming(matrix);
            others |= (gradient == null) != (matrix.gradient == null) || (gradient != null && gradient == matrix.zeros) != matrix.missing;
            moved |= gradient != matrix.gradient;
        }
        if (others) {
            rebuild();
        } else if (moved) {
            move();
        }
    }

    /** The gradient that a matrix has now. */
    private @Nullable Tensor coming(Matrix matrix) {
        if (matrix.group.isFrozen()) {
            return null;
        }
        Tensor gradient = matrix.gradientNow(name());
        if (gradient == null && matrix.sparseGradientNow(name()) != null) {
            throw PanoptimException.unsupported(name() + ".step", name() + " does not support sparse gradients");
        }
        if (gradient == null && missingAreZero()) {
            if (matrix.zeros == null) {
                matrix.zeros = memory().zerosLike(matrix.value());
            }
            return matrix.zeros;
        }
        return gradient;
    }

    private void rebuild() {
        built = false;
        present = List.of();
        freePlans();
        matrices.all().forEach(matrix -> {
            matrix.gradient = coming(matrix);
            matrix.missing = matrix.gradient != null && matrix.gradient == matrix.zeros;
        });
        List<Matrix> now = matrices.all().stream().filter(matrix -> matrix.gradient != null).toList();
        try {
            now.forEach(this::allocate);
            build(now.stream().filter(matrix -> matrix.value().elements() > 0).toList());
        } catch (RuntimeException | Error refused) {
            freePlans();
            throw refused;
        }
        present = now;
        built = true;
    }

    private void move() {
        Map<Integer, @Nullable Tensor> moves = new HashMap<>();
        int number = 0;
        for (Matrix matrix : present) {
            Tensor gradient = coming(matrix);
            if (matrix.value().elements() > 0) {
                if (gradient != matrix.gradient) {
                    moves.put(number, gradient);
                }
                number++;
            }
        }
        built = false; // if one of several tables refuses
        moved(moves);
        present.forEach(matrix -> matrix.gradient = coming(matrix));
        built = true;
    }

    private void allocate(Matrix matrix) {
        if (matrix.states.isEmpty()) {
            Map<String, Tensor> states = new LinkedHashMap<>();
            stateKeys(matrix.group).forEach(key -> states.put(key, memory().zerosLike(matrix.value())));
            rowStateKeys().forEach(key -> states.put(key, memory().zeros(DType.FLOAT64, matrix.first, 1)));
            matrix.states = states;
        }
    }

    private Memory memory() {
        if (memory == null) {
            memory = engine().memory();
        }
        return memory;
    }

    @Override
    protected final Map<String, Tensor> stateOf(Parameter parameter) {
        Matrix matrix = matrices.of(this, parameter);
        Map<String, Tensor> states = new LinkedHashMap<>(matrix.begun ? matrix.states : Map.of());
        if (!states.isEmpty() && countsSteps(matrix.group)) {
            Tensor step = Tensor.zeros(Arena.ofAuto(), DType.FLOAT32);
            step.set(0, matrix.step);
            states.put(STEP, step);
        }
        return states;
    }

    /** What is held in place of gradients that are missing, or have been. */
    protected final long missingBytes() {
        return matrices.all().stream().mapToLong(matrix -> matrix.zeros == null ? 0 : matrix.zeros.bytes()).sum();
    }

    @Override
    public final long stateBytes() {
        return matrices.all().stream().mapToLong(matrix -> stateKeys(matrix.group).size() * matrix.value().bytes()
                + rowStateKeys().size() * matrix.first * DType.FLOAT64.bytes()).sum();
    }

    @Override
    final Runnable prepareState(StateDict loaded) {
        paramGroups().forEach(this::checkGroup);
        Memory fresh = engine().memory();
        try {
            Map<Matrix, Restored> restored = matrices.restore(loaded, (matrix, saved) -> restore(matrix, saved, fresh));
            return () -> replace(fresh, restored);
        } catch (RuntimeException | Error refused) {
            fresh.close();
            throw refused;
        }
    }

    private Restored restore(Matrix matrix, StateDict.Saved saved, Memory fresh) {
        Map<String, Tensor> states = new LinkedHashMap<>();
        for (String key : stateKeys(matrix.group)) {
            states.put(key, StateDict.copyLike(this, fresh, saved.tensor(key, matrix.value().shape()), matrix.value()));
        }
        for (String key : rowStateKeys()) {
            Tensor state = fresh.zeros(DType.FLOAT64, matrix.first, 1);
            StateDict.copy(this, saved.tensor(key, state.shape()), state);
            states.put(key, state);
        }
        boolean counts = countsSteps(matrix.group);
        Set<String> known = new HashSet<>(states.keySet());
        if (counts) {
            known.add(STEP);
        }
        saved.refuseUnknown(known);
        return new Restored(states, counts ? (long) saved.number(this, STEP) : 0);
    }

    private void replace(Memory fresh, Map<Matrix, Restored> restored) {
        built = false;
        freePlans();
        if (memory != null) {
            memory.close();
        }
        memory = fresh;
        matrices.all().forEach(matrix -> {
            Restored state = restored.getOrDefault(matrix, new Restored(Map.of(), 0));
            matrix.states = state.states;
            matrix.begun = !state.states.isEmpty();
            matrix.step = state.step;
            matrix.zeros = null;
        });
    }

    @Override
    protected final void free() {
        freePlans();
        if (memory != null) {
            memory.close();
        }
    }
}
