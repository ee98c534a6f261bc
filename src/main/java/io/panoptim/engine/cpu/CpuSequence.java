package io.panoptim.engine.cpu;

import io.panoptim.engine.HostProduct;
import io.panoptim.engine.Matrices;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.MatrixProduct.Scaled;
import io.panoptim.engine.ProductCalls;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_product;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Products in a row. Where there are matrices for all threads, a thread takes one through all products, without waiting for others;
 * products of fewer matrices are run one by one, and each of them by all threads.
 */
final class CpuSequence extends ProductCalls implements MatrixProduct.Sequence {
    /** From so many matrices for each thread on, it does not matter whether all have as many. */
    private static final int BALANCED = 4;

    /** Products through which matrices may go one by one, and the memory that they lie in. */
    private static final class Joined {
        final List<Scaled> products = new ArrayList<>();
        private final Map<Matrices, Range> written = new LinkedHashMap<>();
        private final Map<Matrices, Range> read = new LinkedHashMap<>();

        void add(Scaled scaled) {
            MatrixProduct product = scaled.product();
            products.add(scaled);
            written.computeIfAbsent(product.d(), Range::of);
            List.of(product.a(), product.b(), product.c()).forEach(each -> read.computeIfAbsent(each, Range::of));
        }

        /** Whether a matrix may go on to one more product while others have not come as far. */
        boolean takes(MatrixProduct next, int threads) {
            MatrixProduct one = products.getFirst().product();
            long batch = one.d().batch();
            return batch == next.d().batch() && one.d().dtype() == next.d().dtype()
                    && (batch % threads == 0 || batch >= (long) BALANCED * threads)
                    && next.operands().stream().allMatch(each -> isApart(each, written)) && isApart(next.d(), read);
        }

        /** Whether no matrix has memory in common with one of another number. */
        private static boolean isApart(Matrices matrices, Map<Matrices, Range> others) {
            if (others.containsKey(matrices)) {
                return others.keySet().stream().filter(other -> !other.equals(matrices)).noneMatch(other ->
                        others.get(other).overlaps(others.get(matrices)));
            }
            Range range = Range.of(matrices);
            return others.values().stream().noneMatch(range::overlaps);
        }
    }

    /** From the first byte to the last one, with whatever lies between the matrices. */
    private record Range(long begin, long end) {
        static Range of(Matrices matrices) {
            long begin = Long.MAX_VALUE;
            long end = Long.MIN_VALUE;
            for (long i = 0; i < matrices.batch() && !matrices.isEmpty(); i++) {
                long address = matrices.address(i);
                begin = Math.min(begin, address);
                end = Math.max(end, address + matrices.extent() * matrices.dtype().bytes());
            }
            return new Range(begin, end);
        }

        boolean overlaps(Range other) {
            return begin < other.end && other.begin < end;
        }
    }

    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final List<GuardedCall> calls = new ArrayList<>();
    /** Of each product its {@code panoptim_product}. */
    private final List<MemorySegment> structures = new ArrayList<>();

    CpuSequence(CpuEngine engine, List<Scaled> products) {
        super(engine, products.stream().map(Scaled::product).distinct().toList(), false);
        products().forEach(HostProduct::checkWritable);
        products().forEach(ProductStructures::checkSizes);
        this.engine = engine;
        for (int next = 0; next < products.size();) {
            Joined joined = new Joined();
            do {
                joined.add(products.get(next++));
            } while (next < products.size() && joined.takes(products.get(next).product(), engine.threads()));
            calls.addAll(GuardedCall.cut(joined.products.size(), (index, each) -> {
                MatrixProduct product = joined.products.get((int) index).product();
                for (long matrix = 0; matrix < product.d().batch(); matrix++) {
                    ProductStructures.tensors(product, matrix, each);
                }
            }, (begin, end) -> structures(joined.products.subList((int) begin, (int) end))));
        }
    }

    private MemorySegment structures(List<Scaled> products) {
        MemorySegment together = panoptim_product.allocateArray(products.size(), arena);
        for (int i = 0; i < products.size(); i++) {
            Scaled each = products.get(i);
            MemorySegment structure = panoptim_product.asSlice(together, i);
            ProductStructures.fill(structure, each.product(), ProductStructures.addresses(each.product(), arena), 0,
                    each.product().d().batch(), products.size() - 1 - i);
            ProductStructures.factors(structure, each.alpha(), each.beta(), each.gamma());
            structures.add(structure);
        }
        return together;
    }

    @Override
    public void run(Stream stream) {
        enter(stream);
        try {
            engine.multiply(calls, this::checkAccessible);
        } finally {
            leave();
        }
    }

    @Override
    public void factors(int index, double alpha, double beta, double gamma) {
        enter();
        try {
            ProductStructures.factors(structures.get(index), alpha, beta, gamma);
        } finally {
            leave();
        }
    }

    @Override
    protected void free() {
        arena.close();
    }
}
