package io.panoptim.tools.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.engine.Engine;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Memory;
import io.panoptim.tensor.Parameter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainingOptionsTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private boolean closed;

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
        assertTrue(closed);
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

    private void run(String scheduler, int epochs, Supplier<Optional<String>> chartsUnavailable) {
        new TrainingOptions("SGD", 0.1, scheduler, epochs, 0, folder)
                .run((engine, seed) -> new Parabola(engine), new PrintWriter(out), new PrintWriter(err), chartsUnavailable);
    }

    /** x²/2, from 1. */
    private final class Parabola implements Experiment {
        private final Memory memory;
        private final Parameter x;

        Parabola(Engine engine) {
            memory = engine.memory();
            x = Parameter.of("x", memory.zeros(DType.FLOAT32, 1)).gradient(memory.zeros(DType.FLOAT32, 1));
            x.value().set(0, 1);
        }

        @Override
        public String description() {
            return "a parabola";
        }

        @Override
        public List<Parameter> parameters() {
            return List.of(x);
        }

        @Override
        public double lossAndGradients() {
            double value = x.value().get(0);
            x.gradient().set(0, value);
            return value * value / 2;
        }

        @Override
        public String result() {
            return "x = " + x.value().get(0);
        }

        @Override
        public List<String> draw(Path where) {
            throw new InternalError("fonts");
        }

        @Override
        public void close() {
            memory.close();
            closed = true;
        }
    }
}
