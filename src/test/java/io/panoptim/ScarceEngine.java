package io.panoptim;

import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.Engine;
import io.panoptim.engine.MatrixProduct;
import io.panoptim.tensor.Memory;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Set;

/** Another engine, of which a chosen allocation fails: of a tensor, a table or a plan. */
public final class ScarceEngine {
    private static final Set<String> ALLOCATE = Set.of("zeros", "zerosLike", "table", "matrixProduct");

    private final Engine engine;
    private int left = Integer.MAX_VALUE;
    private int open;

    public ScarceEngine(Engine other) {
        this.engine = within(Engine.class, other);
    }

    public Engine engine() {
        return engine;
    }

    /** Has one allocation fail after as many others. */
    public void failAfter(int others) {
        left = others;
    }

    /** Whether it has, since that was called; if not it does no more. */
    public boolean hasFailed() {
        boolean failed = left < 0;
        left = Integer.MAX_VALUE;
        return failed;
    }

    /** How many memories and plans of products have not been closed. */
    public int open() {
        return open;
    }

    private <T> T within(Class<T> type, T object) {
        InvocationHandler handler = (proxy, method, arguments) -> {
            if (ALLOCATE.contains(method.getName()) && left-- == 0) {
                throw new PanoptimException(Code.EXHAUSTED, "Memory", "no memory left, as wanted");
            }
            Object result;
            try {
                result = method.invoke(object, arguments);
            } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
            }
            if (method.getName().equals("close")) {
                open--;
            }
            if (result instanceof Memory memory) {
                open++;
                return within(Memory.class, memory);
            }
            if (result instanceof MatrixProduct.Plan plan) {
                open++;
                return within(MatrixProduct.Plan.class, plan);
            }
            return result;
        };
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
