package io.panoptim.optim.matrix;

import io.panoptim.engine.Engine;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.Stream;
import io.panoptim.optim.Check;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Row-major tensors of one shape, and products along one of their dimensions (a mode) with a square matrix for each tensor. Nothing is
 * transposed in memory: what lies before a dimension is a batch, what lies behind it are columns. Along the first and the last
 * dimension all tensors go through one batched product.
 */
final class Modes implements AutoCloseable {
    /** The most elements of outer products that are added up at a time. */
    private static final long MOST_OUTER = 1 << 22;

    /** Some tensors, one after the other in one tensor's memory or each in its own. */
    record Place(List<Tensor> tensors) {
        static Place of(Tensor tensor) {
            return new Place(List.of(tensor));
        }

        /** The matrices of one of them. */
        private Matrices of(int number, long size, long batch, long rows, long columns) {
            boolean own = tensors.size() > 1;
            return Matrices.strided(tensors.get(own ? number : 0), own ? 0 : number * size, batch, rows, columns, Math.max(1, columns),
                    rows * columns);
        }

        /** One matrix for each of them. */
        private Matrices all(long count, long rows, long columns) {
            return tensors.size() == 1
                    ? Matrices.strided(tensors.getFirst(), 0, count, rows, columns, Math.max(1, columns), rows * columns)
                    : new Matrices(tensors, 0, 1, rows, columns, Math.max(1, columns), 0);
        }
    }

    /** A product, with alpha and beta over those that the whole operation is given. */
    private record Part(MatrixProduct.Plan plan, boolean scaled, boolean decays, double beta) {}

    /** Planned products, to be run in order. */
    record Operation(List<Part> parts) {
        void run(double alpha, double beta, Stream stream) {
            for (Part part : parts) {
                part.plan.run(part.scaled ? alpha : 1, part.decays ? beta : part.beta, stream);
            }
        }
    }

    /** Runs operations in order, whose products take the place of what was there. */
    static void run(List<Operation> operations, Stream stream) {
        operations.forEach(operation -> operation.run(1, 0, stream));
    }

    private final Engine engine;
    private final DType dtype;
    private final int count;
    private final long[] dimensions;
    private final long size;
    private final Memory memory;
    private final List<MatrixProduct.Plan> plans = new ArrayList<>();
    private @Nullable Tensor outer;
    private @Nullable Tensor ones;

    /** Refuses a parameter in another order than it can go along. */
    static void checkOrder(String optimizer, String name, Tensor value) {
        Check.check(value.shape().length < 2 || value.isRowMajor(), optimizer, "'" + name + "' is " + value + ": expected row-major order; "
                + "wrap a column-major matrix as the transposed one");
    }

    /**
     * @param count how many tensors
     * @param dimensions the shape of each
     */
    Modes(Engine engine, DType dtype, int count, long... dimensions) {
        this.engine = engine;
        this.dtype = dtype;
        this.count = count;
        this.dimensions = dimensions;
        this.size = Arrays.stream(dimensions).reduce(1, (a, b) -> a * b);
        this.memory = engine.memory();
    }

    private long before(int mode) {
        return Arrays.stream(dimensions, 0, mode).reduce(1, (a, b) -> a * b);
    }

    private long behind(int mode) {
        return Arrays.stream(dimensions, mode + 1, dimensions.length).reduce(1, (a, b) -> a * b);
    }

    private MatrixProduct.Plan plan(MatrixProduct product) {
        MatrixProduct.Plan plan = engine.matrixProduct(product);
        plans.add(plan);
        return plan;
    }

    private Part part(MatrixProduct product) {
        return new Part(plan(product), true, true, 0);
    }

    /** {@code y_j = sum over i of M_ij x_i} along a mode, M transposed if wanted. */
    Operation multiply(int mode, Place matrices, boolean transposed, Place from, Place to) {
        long d = dimensions[mode];
        Matrices factors = matrices.all(count, d, d);
        if (behind(mode) == 1) {
            long rows = before(mode);
            return new Operation(List.of(part(MatrixProduct.of(from.all(count, rows, d), false, factors, !transposed,
                    to.all(count, rows, d)))));
        }
        if (before(mode) == 1) {
            long columns = behind(mode);
            return new Operation(List.of(part(MatrixProduct.of(factors, transposed, from.all(count, d, columns), false,
                    to.all(count, d, columns)))));
        }
        List<Part> parts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            parts.add(part(MatrixProduct.of(factors.part(i, 1), transposed, from.of(i, size, before(mode), d, behind(mode)), false,
                    to.of(i, size, before(mode), d, behind(mode)))));
        }
        return new Operation(parts);
    }

    /** {@code M_ij = sum of x_i x_j} over all other dimensions: a square matrix for each tensor. */
    Operation outer(int mode, Place from, Place to) {
        long d = dimensions[mode];
        Matrices all = to.all(count, d, d);
        if (before(mode) == 1 || behind(mode) == 1) {
            boolean last = before(mode) != 1;
            Matrices x = from.all(count, last ? before(mode) : d, last ? d : behind(mode));
            return new Operation(List.of(part(new MatrixProduct(x, last, x, !last, all, all, true))));
        }
        long together = Math.clamp(MOST_OUTER / (d * d), 1, before(mode));
        Tensor products = outer(together * d * d);
        Matrices summing = Matrices.strided(ones(together), 0, 1, 1, together, together, 0);
        List<Part> parts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Matrices sum = to.of(i, d * d, 1, 1, d * d);
            for (long first = 0; first < before(mode); first += together) {
                long number = Math.min(together, before(mode) - first);
                Matrices x = from.of(i, size, before(mode), d, behind(mode)).part(first, number);
                Matrices xx = Matrices.strided(products, 0, number, d, d, d, d * d);
                parts.add(new Part(plan(new MatrixProduct(x, false, x, true, xx, xx, true)), false, false, 0));
                parts.add(new Part(plan(MatrixProduct.of(Matrices.strided(summing.tensors().getFirst(), 0, 1, 1, number, number, 0), false,
                        Matrices.strided(products, 0, 1, number, d * d, d * d, 0), false, sum)), true, first == 0, 1));
            }
        }
        return new Operation(parts);
    }

    /** A square matrix for each tensor times another one. */
    Operation square(int mode, Place left, boolean transposed, Place right, Place to) {
        long d = dimensions[mode];
        return new Operation(List.of(part(MatrixProduct.of(left.all(count, d, d), transposed, right.all(count, d, d), false,
                to.all(count, d, d)))));
    }

    /** A square matrix for each tensor times another one transposed, whose products are symmetric. */
    Operation symmetric(int mode, Place left, Place right, Place to) {
        long d = dimensions[mode];
        Matrices all = to.all(count, d, d);
        return new Operation(List.of(part(new MatrixProduct(left.all(count, d, d), false, right.all(count, d, d), true, all, all, true))));
    }

    /** Copies matrices of all tensors, whatever alpha and beta are. */
    Operation copy(long rows, long columns, Place from, Place to) {
        return copy(from.all(count, rows, columns), to.all(count, rows, columns));
    }

    /** Copies matrices, whatever alpha and beta are. */
    Operation copy(Matrices from, Matrices to) {
        return new Operation(List.of(new Part(multiple(from, to), false, false, 1)));
    }

    /** A plan of {@code beta C + gamma I}: nothing is multiplied. */
    MatrixProduct.Plan multiple(Matrices from, Matrices to) {
        Matrices unused = Matrices.strided(ones(1), 0, 1, to.rows(), 0, 1, 0);
        Matrices unusedToo = Matrices.strided(ones(1), 0, 1, 0, to.columns(), Math.max(1, to.columns()), 0);
        return plan(new MatrixProduct(unused, false, unusedToo, false, from, to, false));
    }

    private Tensor outer(long elements) {
        if (outer == null || outer.elements() < elements) {
            outer = memory.zeros(dtype, elements);
        }
        return outer;
    }

    private Tensor ones(long elements) {
        if (ones == null || ones.elements() < elements) {
            ones = memory.zeros(dtype, elements);
            OnHost.write(engine, ones, Stream.DEFAULT, tensor -> { // done when it returns: products may run on any stream
                for (long i = 0; i < elements; i++) {
                    tensor.set(i, 1);
                }
            });
        }
        return ones;
    }

    @Override
    public void close() {
        plans.forEach(MatrixProduct.Plan::close);
        memory.close();
    }
}
