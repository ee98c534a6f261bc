package io.panoptim.optim;

import static io.panoptim.Refusals.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.Bits;
import io.panoptim.OnAllEngines;
import io.panoptim.PanoptimException.Code;
import io.panoptim.TestEngines;
import io.panoptim.engine.Engine;
import io.panoptim.optim.Storage.States;
import io.panoptim.optim.Storage.Values;
import io.panoptim.optim.StorageTest.Kind;
import io.panoptim.optim.matrix.Muon;
import io.panoptim.optim.norm.LAMB;
import io.panoptim.optim.norm.SGDP;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Parameter;
import io.panoptim.tensor.Tensor;
import io.panoptim.train.GradientClipper;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Slices of a tensor, stepped together, in several optimizers or as their gradients arrive, get the bits that the whole would. */
@Tag("native")
class SliceTest extends OnAllEngines {
    private static final int SIZE = 5003;
    /** At multiples of a quantised block, within leaves and at their ends. */
    private static final int[] CUTS = {0, 256, 1024, 1792, 4096, SIZE};

    static Stream<Arguments> combinations() {
        Storage small = Storage.defaults().withMinElements(4096); // the slices are smaller
        List<Storage> storages = List.of(Storage.defaults(), small.withValues(Values.REMAINDER).withStates(States.DYNAMIC8),
                small.withValues(Values.STOCHASTIC).withStates(States.DYNAMIC4).withSeed(3), small.withValues(Values.STOCHASTIC).withSeed(-7));
        return StorageTest.kinds().stream().filter(kind -> !kind.name().equals("LAMB")) // which takes sums
                .flatMap(kind -> storages.stream().map(storage -> Arguments.of(kind, storage)));
    }

    /** A parameter before the sliced one, which has the number 1 then, and that, under an optimizer. */
    private static final class Run implements AutoCloseable {
        final Arena arena = Arena.ofShared();
        final Parameter other;
        final Parameter whole;
        final Tensor gradient;
        final List<Parameter> slices = new ArrayList<>();
        final FusedOptimizer<?> optimizer;

        Run(Engine engine, Kind kind, Storage storage, int[] cuts) {
            DType dtype = storage.values() == Values.PLAIN ? DType.FLOAT32 : DType.BFLOAT16;
            other = Parameter.of("other", random(dtype, 300, 1));
            other.gradient(random(dtype, 300, 2));
            whole = Parameter.of("w", random(dtype, SIZE, 3));
            gradient = Tensor.zeros(arena, dtype, SIZE);
            for (int i = 0; i + 1 < cuts.length; i++) {
                slices.add(cuts.length == 2 ? whole : whole.slice(cuts[i], cuts[i + 1]));
            }
            List<Parameter> all = new ArrayList<>(List.of(other));
            all.addAll(slices);
            optimizer = kind.make().apply(engine, all);
            optimizer.storage(storage);
        }

        private Tensor random(DType dtype, int size, int seed) {
            Tensor tensor = Tensor.zeros(arena, dtype, size);
            fill(tensor, seed);
            return tensor;
        }

        private static void fill(Tensor tensor, int seed) {
            Random random = new Random(seed);
            for (long i = 0; i < tensor.elements(); i++) {
                tensor.set(i, random.nextGaussian() * Math.exp(random.nextGaussian()));
            }
        }

        void arrive(Parameter slice) {
            slice.gradient(slice.isSlice() ? gradient.slice(slice.origin(), slice.value().elements()) : gradient);
        }

        /** All at once, or each by a step of its own. */
        Run steps(boolean apart) {
            for (int step = 0; step < 3; step++) {
                fill(gradient, 100 + step);
                if (!apart) {
                    slices.forEach(this::arrive);
                    optimizer.step();
                    continue;
                }
                optimizer.step(); // the other parameter's
                other.gradient(null);
                for (Parameter slice : slices) {
                    arrive(slice);
                    optimizer.step();
                    slice.gradient(null);
                }
                other.gradient(random(other.value().dtype(), 300, 2));
            }
            return this;
        }

        /** Compares the values, and of each slice's states those elements, codes and scales that the whole's have there. */
        void assertSame(Run sliced, String what) {
            Bits.assertSame(other.value(), sliced.other.value(), what);
            Bits.assertSame(whole.value(), sliced.whole.value(), what);
            Map<String, Tensor> expected = optimizer.state(whole);
            for (Parameter slice : sliced.slices) {
                sliced.optimizer.state(slice).forEach((key, tensor) -> {
                    Tensor all = expected.get(key);
                    assertEquals(all.dtype(), tensor.dtype(), key);
                    boolean small = optimizer.storage().states() == States.DYNAMIC4;
                    int together = key.endsWith("_scale") ? small ? 128 : 256 : small && tensor.dtype() == DType.UINT8 ? 2 : 1;
                    long first = all.elements() == 1 ? 0 : slice.origin() / together;
                    Bits.assertSame(all.slice(first, tensor.elements()), tensor.slice(0, tensor.elements()), what + " " + key + " of " + slice.name());
                });
            }
        }

        @Override
        public void close() {
            optimizer.close();
            arena.close();
        }
    }

    @ParameterizedTest
    @MethodSource("combinations")
    void slicesAreSteppedAsTheWholeIs(Kind kind, Storage storage) {
        try (Run whole = new Run(TestEngines.reference(), kind, storage, new int[] {0, SIZE}).steps(false)) {
            for (Engine engine : List.of(TestEngines.reference(), engines.getFirst(), engines.getLast())) {
                try (Run sliced = new Run(engine, kind, storage, CUTS).steps(false)) {
                    whole.assertSame(sliced, kind + " on " + engine.description());
                }
            }
        }
    }

    /** Noise goes by the optimizer's count of steps, which is then another. */
    @ParameterizedTest
    @MethodSource("combinations")
    void slicesAreSteppedWhenTheirGradientsArrive(Kind kind, Storage storage) {
        if (storage.values() == Values.STOCHASTIC) {
            return;
        }
        try (Run whole = new Run(TestEngines.reference(), kind, storage, new int[] {0, SIZE}).steps(false)) {
            for (Engine engine : List.of(engines.getFirst(), engines.getLast())) {
                try (Run sliced = new Run(engine, kind, storage, CUTS).steps(true)) {
                    whole.assertSame(sliced, kind + " on " + engine.description());
                }
            }
        }
    }

    /** Two processes, each of which has a part of every tensor. */
    @Test
    void shardsRoundStochasticallyAsTheWholeDoes() {
        Kind kind = StorageTest.kinds().get(1);
        Storage storage = Storage.defaults().withValues(Values.STOCHASTIC).withStates(States.DYNAMIC8).withMinElements(4096);
        try (Run whole = new Run(TestEngines.reference(), kind, storage, new int[] {0, SIZE}); Arena arena = Arena.ofShared()) {
            int cut = 2048;
            List<Tensor> parts = new ArrayList<>();
            for (int rank = 0; rank < 2; rank++) {
                int origin = rank * cut;
                int size = rank == 0 ? cut : SIZE - cut;
                Tensor value = Tensor.zeros(arena, DType.BFLOAT16, size);
                Tensor gradient = Tensor.zeros(arena, DType.BFLOAT16, size);
                value.segment().copyFrom(whole.whole.value().slice(origin, size).segment());
                Parameter before = Parameter.of("before", Tensor.zeros(arena, DType.BFLOAT16, 4)).gradient(Tensor.zeros(arena, DType.BFLOAT16, 4));
                Parameter shard = Parameter.shard("w", value, origin, SIZE).gradient(gradient);
                assertTrue(shard.isSlice());
                try (FusedOptimizer<?> optimizer = kind.make().apply(engines.getFirst(), List.of(before, shard))) {
                    optimizer.storage(storage);
                    for (int step = 0; step < 3; step++) {
                        Run.fill(whole.gradient, 100 + step);
                        gradient.segment().copyFrom(whole.gradient.slice(origin, size).segment());
                        optimizer.step();
                    }
                }
                parts.add(value);
            }
            whole.steps(false);
            Bits.assertSame(whole.whole.value().slice(0, cut), parts.get(0), "first");
            Bits.assertSame(whole.whole.value().slice(cut, SIZE - cut), parts.get(1), "second");
        }
    }

    @Test
    void whatCannotBeSlicedIsRefusedBeforeAnythingIsWritten() {
        Engine engine = engines.getFirst();
        try (Arena arena = Arena.ofShared()) {
            Parameter whole = Parameter.of("w", Tensor.zeros(arena, DType.FLOAT32, 64, 64));
            refused(Code.INVALID, "w[10, 5000) is not within", () -> whole.slice(10, 5000));
            refused(Code.INVALID, "is not within a tensor of 9 elements", () -> Parameter.shard("s", whole.value(), 0, 9));
            Parameter slice = whole.slice(100, 1124).gradient(Tensor.zeros(arena, DType.FLOAT32, 1024));
            slice.gradient().set(0, 1);
            assertEquals("w[100, 1124)", slice.name());
            Parameter rows = Parameter.shard("m", Tensor.zeros(arena, DType.FLOAT32, 2, 8), 16, 64);
            refused(Code.UNSUPPORTED, "Muon works on whole ones", () -> new Muon(engine, List.of(rows), Muon.Options.defaults()));
            refused(Code.UNSUPPORTED, "LBFGS works on whole ones", () -> new LBFGS(engine, List.of(slice), LBFGS.Options.defaults()));
            refused(Code.UNSUPPORTED, "SGDP works on whole ones", () -> new SGDP(engine, List.of(slice), SGDP.Options.defaults()));
            try (AdamW cautious = new AdamW(engine, List.of(slice), AdamW.Options.defaults().withCaution(true))) {
                refused(Code.UNSUPPORTED, "ask for sums over whole tensors", cautious::step);
            }
            try (LAMB lamb = new LAMB(engine, List.of(slice), LAMB.Options.defaults())) {
                refused(Code.UNSUPPORTED, "some parameters are slices", lamb::step);
            }
            try (AdamW adamW = new AdamW(engine, List.of(slice), AdamW.Options.defaults())) {
                adamW.storage(Storage.defaults().withStates(States.DYNAMIC8));
                refused(Code.INVALID, "from origin 100 cuts", adamW::step);
            }
            try (AdamW adamW = new AdamW(engine, List.of(slice), AdamW.Options.defaults()); GradientClipper clipper = GradientClipper.of(adamW)) {
                refused(Code.INVALID, "is cut within a leaf", () -> clipper.clipGradNorm(1));
                refused(Code.UNSUPPORTED, "is a slice of a larger tensor", () -> clipper.clipNorm(1));
                refused(Code.UNSUPPORTED, "is a slice of a larger tensor", clipper::adaptiveClipGrad);
            }
            assertEquals(0, whole.value().get(100));
        }
    }
}
