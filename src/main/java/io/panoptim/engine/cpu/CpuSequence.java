package io.panoptim.engine.cpu;

import io.panoptim.engine.HostProduct;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.engine.MatrixProduct.Scaled;
import io.panoptim.engine.ProductCalls;
import io.panoptim.engine.Stream;
import io.panoptim.ffi.panoptim_product;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * Products in a row. Where there are matrices for all threads, a thread takes one through all products, without waiting for others;
 * products of fewer matrices are run one by one, and each of them by all threads.
 */
final class CpuSequence extends ProductCalls implements MatrixProduct.Sequence {
    /** From so many matrices for each thread on, it does not matter whether all have as many. */
    private static final int BALANCED = 4;

    private final CpuEngine engine;
    private final Arena arena = Arena.ofShared();
    private final List<GuardedCall> calls = new ArrayList<>();

    CpuSequence(CpuEngine engine, List<Scaled> products) {
        super(engine, products.stream().map(Scaled::product).distinct().toList(), false);
        products().forEach(HostProduct::checkWritable);
        products().forEach(ProductStructures::checkSizes);
        this.engine = engine;
        for (int first = 0; first < products.size();) {
            int end = first + 1;
            while (end < products.size() && continues(products.get(first).product(), products.get(end).product())) {
                end++;
            }
            List<Scaled> together = products.subList(first, end);
            calls.addAll(GuardedCall.cut(together.size(), (index, each) -> {
                MatrixProduct product = together.get((int) index).product();
                for (long matrix = 0; matrix < product.d().batch(); matrix++) {
                    ProductStructures.tensors(product, matrix, each);
                }
            }, (begin, behind) -> structures(together.subList((int) begin, (int) behind))));
            first = end;
        }
    }

    /** Whether a matrix goes on from one product to the next, while others have not come as far. */
    private boolean continues(MatrixProduct one, MatrixProduct next) {
        long batch = one.d().batch();
        return batch == next.d().batch() && one.d().dtype() == next.d().dtype()
                && (batch % engine.threads() == 0 || batch >= BALANCED * engine.threads());
    }

    private MemorySegment structures(List<Scaled> products) {
        MemorySegment structures = panoptim_product.allocateArray(products.size(), arena);
        for (int i = 0; i < products.size(); i++) {
            Scaled each = products.get(i);
            MemorySegment structure = panoptim_product.asSlice(structures, i);
            ProductStructures.fill(structure, each.product(), ProductStructures.addresses(each.product(), arena), 0,
                    each.product().d().batch(), products.size() - 1 - i);
            ProductStructures.factors(structure, each.alpha(), each.beta(), each.gamma());
        }
        return structures;
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
    protected void free() {
        arena.close();
    }
}
