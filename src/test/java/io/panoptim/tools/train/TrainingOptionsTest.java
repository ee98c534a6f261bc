package io.panoptim.tools.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Engine;
import io.panoptim.tensor.Memory;
import io.panoptim.tools.OptimizerKind;
import io.panoptim.tools.train.nn.Weights;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class TrainingOptionsTest {
    /** Optimizers that refuse groups with different learning rates. */
    private static final Set<String> ONE_RATE = Set.of("LBFGS", "Prodigy", "DAdaptAdam", "DAdaptSGD");

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private int closed;

    @TempDir
    private Path folder;

    @Test
    void withoutAFontTheNumbersAreThereAndOneLineSaysWhatToDo() throws IOException {
        run("none", 25, () -> Optional.of("no font: install one"));
        assertEquals("panoptim: no plots: no font: install one" + System.lineSeparator(), err.toString());
        assertTrue(out.toString().contains("history.csv in " + folder), out.toString());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(List.of(folder.resolve("history.csv")), files.toList());
        }
        assertEquals(26, Files.readAllLines(folder.resolve("history.csv")).size());
        assertEquals(1, closed);
    }

    @Test
    void whatFailsWhileDrawingIsNoFailureEither() throws IOException {
        run("none", 2, Optional::empty);
        assertTrue(err.toString().startsWith("panoptim: no plots: Java finds no usable font on this system "
                + "(java.lang.InternalError: fonts)"), err.toString());
        assertEquals(3, Files.readAllLines(folder.resolve("history.csv")).size());
    }

    @Test
    void theHistoryIsWhatHappenedToTheLastBit() throws IOException {
        run("StepLR:step_size=1,gamma=0.3", 3, () -> Optional.of("no font"));
        // SGD on x²/2 from 1, in float32.
        float second = 1 - 0.1f;
        float third = Math.fma(-(float) (0.1 * 0.3), second, second);
        assertEquals(List.of("epoch,loss,lr", "1,0.5,0.1", "2," + (double) second * second / 2 + "," + 0.1 * 0.3,
                "3," + (double) third * third / 2 + "," + 0.1 * 0.3 * 0.3), Files.readAllLines(folder.resolve("history.csv")));
    }

    @Test
    void elsewhereThanOnATerminalProgressIsTenLines() throws IOException {
        run("none", 200, () -> Optional.of("no font"));
        List<String> lines = out.toString().lines().filter(line -> line.startsWith("epoch ")).toList();
        assertEquals(10, lines.size());
        assertTrue(lines.getLast().startsWith("epoch 200/200  loss 0.0000"), lines.getLast());
        assertTrue(out.toString().lines().noneMatch(line -> line.contains("\r") || line.contains("\u001b")));
    }

    @Test
    void eachGroupHasItsPartOfTheLearningRate() throws IOException {
        run(options("none", 1), List.of("SGD"), 3, () -> Optional.of("no font"));
        assertEquals(List.of("epoch,loss,lr 0,lr 1,lr 2", "1,1.5,0.1,0.05,0.025"), Files.readAllLines(folder.resolve("history.csv")));
    }

    @Test
    void theLearningRateSuitsTheOptimizerUnlessItIsGiven() throws IOException {
        run(options("none", 1), List.of("SGD", "Adam", "Adadelta", "Adam:lr=0.7"), 1, () -> Optional.of("no font"));
        assertEquals(List.of("run,epoch,loss,lr", "\"SGD\",1,0.5,0.1", "\"Adam\",1,0.5,0.3", "\"Adadelta\",1,0.5,1.0",
                "\"Adam:lr=0.7\",1,0.5,0.7"), Files.readAllLines(folder.resolve("history.csv")));
        assertEquals(4, closed);
    }

    @Test
    void runsStartFromTheSameAndEachHasItsScheduler() throws IOException {
        run(options("StepLR:step_size=1,gamma=0.5", 3), List.of("SGD", "SGD@none", "SGD:momentum=0.5@StepLR:step_size=2,gamma=0.1"), 1,
                () -> Optional.of("no font"));
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals(10, lines.size());
        assertTrue(lines.get(3).endsWith("," + 0.1 * 0.5 * 0.5), lines.get(3));
        assertTrue(lines.get(6).endsWith(",0.1"), lines.get(6));
        assertTrue(lines.get(9).endsWith("," + 0.1 * 0.1), lines.get(9));
        assertEquals(lines.get(1).substring("'SGD'".length()), lines.get(4).substring("'SGD@none'".length()));
    }

    @Test
    void manualDecayIsThatOfStepLr() throws IOException {
        run(options("StepLR:step_size=3,gamma=0.7", 10), List.of("SGD"), 2, () -> Optional.of("no font"));
        List<String> scheduled = Files.readAllLines(folder.resolve("history.csv"));
        run(options("manual:every=3,factor=0.7", 10), List.of("SGD"), 2, () -> Optional.of("no font"));
        assertEquals(scheduled, Files.readAllLines(folder.resolve("history.csv")));
    }

    @Test
    void whatIsWrongWithALaterRunShowsBeforeTheFirst() {
        PanoptimException refused = assertThrows(PanoptimException.class, () -> run(options("none", 1), List.of("SGD", "Adam:betas=2+0.5"),
                1, () -> Optional.of("no font")));
        assertEquals("--compare: Adam: Invalid beta parameter at index 0: 2.0", refused.getMessage());
        assertEquals("", out.toString());
        assertEquals(2, closed);
    }

    @ParameterizedTest
    @MethodSource("optimizers")
    void everyOptimizerTrains(String optimizer) throws IOException {
        String ratesOfItsOwn = optimizer.equals("AdafactorHF") ? ":relative_step=false" : "";
        run(options("none", 20), List.of(optimizer + ratesOfItsOwn), ONE_RATE.contains(optimizer) ? 1 : 2, () -> Optional.of("no font"));
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        double last = Double.parseDouble(lines.getLast().split(",")[1]);
        double first = Double.parseDouble(lines.get(1).split(",")[1]);
        assertTrue(last < first, optimizer + ": " + last);
    }

    static Stream<String> optimizers() {
        return StreamSupport.stream(new OptimizerKind.Names().spliterator(), false).filter(name -> !Set.of("Dion", "Muon", "MuonWithAuxAdam", "NorMuon", "SparseAdam").contains(name));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '>', textBlock = """
            LBFGS      > LBFGS doesn't support per-parameter options (parameter groups)
            Prodigy    > Setting different lr values in different parameter groups is only supported for values of 0: found 0.05 and 0.1
            SparseAdam > SparseAdam does not support dense gradients, please consider Adam instead
            """)
    void whatAnOptimizerCannotTrainIsRefused(String optimizer, String message) {
        PanoptimException refused = assertThrows(PanoptimException.class,
                () -> run(options("none", 20), List.of(optimizer + ":lr=0.1"), 2, () -> Optional.of("no font")));
        assertTrue(refused.getMessage().endsWith(message), refused.getMessage());
        assertEquals(1, closed);
    }

    private void run(String scheduler, int epochs, Supplier<Optional<String>> chartsUnavailable) {
        run(options(scheduler, epochs), List.of("SGD"), 1, chartsUnavailable);
    }

    private TrainingOptions options(String scheduler, int epochs) {
        return new TrainingOptions("SGD", LearningRate.of(0.1, Map.of("Adam", 0.3)), scheduler, epochs, folder);
    }

    private void run(TrainingOptions options, List<String> optimizers, int groups, Supplier<Optional<String>> chartsUnavailable) {
        Experiment.Factory<Parabola> factory = (engine, seed) -> new Parabola(engine, groups);
        options.run(optimizers.stream().map(optimizer -> options.entrant("--compare", optimizer, factory)).toList(), (runs, where) -> {
            throw new InternalError("fonts");
        }, new PrintWriter(out), new PrintWriter(err), chartsUnavailable);
    }

    /** The sum of x²/2, each from 1, each in a group of its own, the second learning half as fast as the first and so on. */
    private final class Parabola implements Experiment {
        private final Memory memory;
        private final List<Weights> groups;

        Parabola(Engine engine, int groups) {
            memory = engine.memory();
            this.groups = IntStream.range(0, groups).mapToObj(i -> Weights.of("x" + i, memory, 1)).toList();
        }

        @Override
        public String description() {
            return "a parabola";
        }

        @Override
        public List<Task> tasks() {
            return List.of(new Task("", IntStream.range(0, groups.size()).mapToObj(i -> new Task.Group(groups.size() == 1 ? "" : "" + i,
                    List.of(groups.get(i).parameter()), Math.pow(0.5, i))).toList(), this::lossAndGradients));
        }

        private double lossAndGradients() {
            double loss = 0;
            for (Weights x : groups) {
                x.read();
                x.gradients()[0] = x.values()[0];
                x.write();
                loss += x.values()[0] * x.values()[0] / 2;
            }
            return loss;
        }

        @Override
        public String result() {
            return "x = " + groups.stream().map(x -> "" + x.parameter().value().get(0)).toList();
        }

        @Override
        public void close() {
            memory.close();
            closed++;
        }
    }
}
