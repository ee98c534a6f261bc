package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Optimizers whose step is composed of matrix products: every parameter is a matrix, its dimensions after the first flattened into
 * one, but for groups of an optimizer that has others beside. A subclass says what state a matrix has and what a step does with those that have a gradient.
 *
 * @param <O> the options
 */
public abstract class MatrixOptimizer<O extends Record> extends PlannedOptimizer<MatrixOptimizer.Matrix> {
    /** One place in memory that is optimized. */
    public static final class Matrix extends Item {
        private final long first;
        private final boolean transposed;

        private Matrix(String name, ParamGroup group, Parameter parameter, long id) {
            super(name, group, id);
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

        /** Whether {@link #gradient} stands for one that is missing. */
        public boolean isMissing() {
            return isZeros(gradient);
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

    private final Set<ParamGroup> ofMatrices = Collections.newSetFromMap(new IdentityHashMap<>());

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

    @Override
    protected boolean countsSteps(ParamGroup group) {
        return false;
    }

    @Override
    final boolean showsStepFirst() {
        return false;
    }

    /** One step of the matrices last given to {@link #build}, all of whose memory is there. */
    protected abstract void stepMatrices();

    @Override
    final void stepPlanned() {
        stepMatrices();
    }

    @Override
    final void stepped(Matrix matrix) {
        matrix.step++;
    }

    @Override
    final Matrix item(String name, ParamGroup group, Parameter parameter, long id) {
        return new Matrix(name, group, parameter, id);
    }

    @Override
    protected final Map<String, Tensor> newState(Matrix matrix, Memory allocated) {
        Map<String, Tensor> states = new LinkedHashMap<>();
        stateKeys(matrix.group).forEach(key -> states.put(key, allocated.zerosLike(matrix.value())));
        rowStateKeys().forEach(key -> states.put(key, allocated.zeros(DType.FLOAT64, matrix.first, 1)));
        return states;
    }

    /** What is held in place of gradients that are missing, or have been. */
    protected final long missingBytes() {
        return items.all().stream().mapToLong(matrix -> matrix.zeros == null ? 0 : matrix.zeros.bytes()).sum();
    }
}
