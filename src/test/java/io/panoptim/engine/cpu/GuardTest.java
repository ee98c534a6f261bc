package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.optim.AdamW;
import io.panoptim.optim.SGD;
import io.panoptim.optim.matrix.Adafactor;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Memory stays open while native code uses it. */
@Tag("native")
class GuardTest {
    private static final SGD.Options OPTIONS = SGD.Options.defaults().withLr(1);

    @Test
    void anArenaClosedByAnotherThreadDuringStepsIsRefusedThereOrHere() throws InterruptedException {
        for (int attempt = 0; attempt < 5; attempt++) {
            Arena arena = Arena.ofShared();
            Parameter p = Parameter.of("p", Tensor.zeros(arena, DType.FLOAT32, 1 << 18))
                    .gradient(Tensor.zeros(arena, DType.FLOAT32, 1 << 18));
            try (AdamW optimizer = new AdamW(TestEngines.cpu(), List.of(p), AdamW.Options.defaults())) {
                optimizer.step();
                AtomicBoolean closed = new AtomicBoolean();
                Thread closing = new Thread(() -> {
                    while (!closed.get()) {
                        try {
                            arena.close();
                            closed.set(true);
                        } catch (IllegalStateException acquired) {
                            Thread.onSpinWait();
                        }
                    }
                });
                closing.start();
                PanoptimException refusal = assertThrows(PanoptimException.class, () -> {
                    while (true) {
                        optimizer.step();
                    }
                });
                closing.join();
                assertEquals(Code.CLOSED, refusal.code());
                assertTrue(refusal.getMessage().contains("the value of 'p' lies in an arena that was closed"));
            }
        }
    }

    @Test
    void anyNumberOfArenasIsGuarded() {
        List<Arena> arenas = new ArrayList<>();
        List<Parameter> parameters = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            Arena arena = Arena.ofShared();
            arenas.add(arena);
            parameters.add(Parameter.of("p" + i, Tensor.of(arena, new float[] {0}))
                    .gradient(Tensor.of(Arena.ofAuto(), new float[] {-1})));
        }
        try (SGD optimizer = new SGD(TestEngines.cpu(), parameters, OPTIONS)) {
            optimizer.step();
            parameters.get(7).gradient(null);
            optimizer.step();
            for (int i = 0; i < 50; i++) {
                assertEquals(i == 7 ? 1 : 2, parameters.get(i).value().get(0));
            }
            arenas.get(49).close();
            PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::step);
            assertTrue(refusal.getMessage().contains("the value of 'p49'"), refusal.getMessage());
            assertEquals(2, parameters.getFirst().value().get(0), "nothing was written");
            parameters.get(49).gradient(null);
            optimizer.step();
            assertEquals(3, parameters.getFirst().value().get(0));
        }
        arenas.subList(0, 49).forEach(Arena::close);
    }

    @Test
    void aStepFromAnotherThreadThanAConfinedArenasIsRefused() throws InterruptedException {
        try (Arena arena = Arena.ofConfined()) {
            Parameter p = Parameter.of("p", Tensor.of(arena, new float[] {0})).gradient(Tensor.of(arena, new float[] {-1}));
            try (SGD optimizer = new SGD(TestEngines.cpu(), List.of(p), OPTIONS)) {
                optimizer.step();
                Thread other = new Thread(() -> {
                    PanoptimException refusal = assertThrows(PanoptimException.class, optimizer::step);
                    assertEquals(Code.CONCURRENT, refusal.code());
                });
                List<Throwable> failures = new ArrayList<>();
                other.setUncaughtExceptionHandler((thread, failure) -> failures.add(failure));
                other.start();
                other.join();
                assertEquals(List.of(), failures);
                assertEquals(1, p.value().get(0));
            }
        }
    }

    @Test
    void anEngineIsClosedOnceNoStepRunsInItAndThenSaysSo() throws InterruptedException {
        try (Arena arena = Arena.ofShared()) {
            Parameter p = Parameter.of("p", Tensor.zeros(arena, DType.FLOAT32, 1 << 20))
                    .gradient(Tensor.zeros(arena, DType.FLOAT32, 1 << 20));
            CpuEngine engine = TestEngines.open(TestEngines.tiers().getFirst(), 2, 16);
            try (AdamW optimizer = new AdamW(engine, List.of(p), AdamW.Options.defaults())) {
                optimizer.step();
                Thread closing = new Thread(() -> {
                    while (true) {
                        try {
                            engine.close();
                            return;
                        } catch (PanoptimException running) {
                            assertEquals(Code.CONCURRENT, running.code());
                        }
                    }
                });
                closing.start();
                PanoptimException refusal = assertThrows(PanoptimException.class, () -> {
                    while (true) {
                        optimizer.step();
                    }
                });
                closing.join();
                assertEquals("Engine.step: the engine is closed", refusal.getMessage());
                engine.close();
            }
        }
    }

    /** Of steps with second moments in factors; together or one after the other, in few arenas or many. */
    @Test
    void gradientsMoveAndTheirFormerArenasAreClosed() {
        for (int count : new int[] {2, 30}) {
            for (boolean together : new boolean[] {true, false}) {
                try (Arena arena = Arena.ofShared()) {
                    List<Arena> own = new ArrayList<>();
                    List<Parameter> parameters = new ArrayList<>();
                    for (int i = 0; i < count; i++) {
                        own.add(i > 0 && count == 2 ? own.getFirst() : Arena.ofShared());
                        parameters.add(Parameter.of("p" + i, Tensor.zeros(arena, DType.FLOAT32, 2, 2)).gradient(ones(own.get(i))));
                    }
                    try (Adafactor optimizer = new Adafactor(TestEngines.cpu(), parameters, Adafactor.Options.defaults())) {
                        optimizer.step();
                        for (Parameter parameter : parameters) {
                            parameter.gradient(ones(arena));
                            if (!together) {
                                optimizer.step();
                            }
                        }
                        own.stream().distinct().forEach(Arena::close);
                        optimizer.step();
                        for (Parameter parameter : parameters) {
                            assertEquals(together ? 2 : 2 + count, optimizer.state(parameter).get("step").get(0));
                            assertTrue(parameter.value().get(3) < 0);
                        }
                    }
                }
            }
        }
    }

    private static Tensor ones(Arena arena) {
        return Tensor.of(arena, new float[] {1, 1, 1, 1}).slice(0, 2, 2);
    }

    @Test
    void callsAreCutOnceHoweverMuchHasMoved() {
        try (Arena one = Arena.ofShared()) {
            List<Arena> arenas = new ArrayList<>();
            List<Tensor> tensors = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                arenas.add(Arena.ofShared());
                tensors.add(Tensor.of(arenas.get(i), new float[] {0}));
            }
            int[] made = new int[1];
            GuardedCalls calls = new GuardedCalls(20, (item, each) -> each.accept(tensors.get((int) item)), (first, end) -> {
                made[0]++;
                return MemorySegment.NULL;
            });
            assertEquals(3, calls.get().size());
            for (int i = 0; i < 20; i++) {
                tensors.set(i, Tensor.of(one, new float[] {0}));
                calls.moved(tensors.get(i));
            }
            assertEquals(3, made[0]);
            List<GuardedCall> whole = calls.get();
            assertEquals(1, whole.size());
            calls.moved(tensors.get(3));
            assertSame(whole, calls.get());
            assertEquals(4, made[0]);
            arenas.forEach(Arena::close);
        }
    }

    @Test
    void anArenaThatIsNoLongerUsedDoesNotStandInTheWay() throws InterruptedException {
        try (Arena confined = Arena.ofConfined(); Arena arena = Arena.ofShared()) {
            Parameter p = Parameter.of("p", Tensor.of(arena, new float[] {0})).gradient(Tensor.of(confined, new float[] {-1}));
            try (SGD optimizer = new SGD(TestEngines.cpu(), List.of(p), OPTIONS)) {
                optimizer.step();
                p.gradient(Tensor.of(arena, new float[] {-1}));
                Thread other = new Thread(optimizer::step);
                other.start();
                other.join();
                assertEquals(2, p.value().get(0));
            }
        }
    }
}
