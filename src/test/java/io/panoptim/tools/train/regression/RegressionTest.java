package io.panoptim.tools.train.regression;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.TestEngines;
import io.panoptim.tools.Tool;
import io.panoptim.tools.train.Gradients;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RegressionTest {
    /** Of Auto MPG, by numpy.linalg.lstsq. */
    private static final double LEAST = 0.146154;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({"Adam, 10, 20", "SGD:lr=0.005, 1, 10", "SGD:lr=0.3, all, 200", "Adagrad, 10, 20", "RMSprop, 10, 20", "Adadelta, 10, 20"})
    void itFindsTheLeastSquaresOfRealData(String optimizer, String batch, String epochs) throws Exception {
        Tool tool = Tool.train("regression", folder, "--data", data().toString(), "--optimizer", optimizer, "--batch", batch,
                "--epochs", epochs);
        assertEquals(0, tool.status(), tool.err());
        assertTrue(tool.out().contains("auto-mpg.tsv, 392 x 5"), tool.out());
        Matcher errors = Pattern.compile("error is ([0-9.]+); the least possible is ([0-9.]+)").matcher(tool.out());
        assertTrue(errors.find(), tool.out());
        assertEquals(LEAST, Double.parseDouble(errors.group(2)), 1e-6);
        assertEquals(LEAST, Double.parseDouble(errors.group(1)), 0.006);
        List<String> lines = Files.readAllLines(folder.resolve("history.csv"));
        assertEquals(1 + Integer.parseInt(epochs), lines.size());
    }

    @Test
    void withoutAFileItGeneratesOne() {
        Table table = Table.generate(new Random(0));
        assertEquals(1500, table.rows().size());
        assertEquals(5, table.inputs());
        Tool tool = Tool.train("regression", folder, "--epochs", "3");
        assertEquals(0, tool.status(), tool.err());
        assertTrue(tool.out().contains("a generated data set, 1500 x 5"), tool.out());
    }

    @Test
    void theGradientsAreThoseOfTheLoss() throws Exception {
        try (Regression regression = new Regression(TestEngines.reference(), Table.read(data()), 10, new Random(1))) {
            Gradients.check(regression);
            assertEquals(40, regression.batches());
        }
    }

    @Test
    void anEpochGoesThroughAllRowsOnce() {
        Table table = new Table("rows", List.of(new double[] {1, 1}, new double[] {2, 4}, new double[] {3, 2}, new double[] {4, 8}));
        try (Regression regression = new Regression(TestEngines.reference(), table, 3, new Random(1))) {
            assertEquals(2, regression.batches());
            double sum = 0;
            for (int batch = 0; batch < 2; batch++) {
                regression.select(0, batch);
                sum += regression.lossAndGradients() * (batch == 0 ? 3 : 1);
            }
            try (Regression whole = new Regression(TestEngines.reference(), table, 0, new Random(1))) {
                whole.select(0, 0);
                assertEquals(whole.lossAndGradients() * 4, sum, 1e-12);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"1\t2.5\n-3\t4e1\n", "a,b\n1,2.5\n\n# comment\n-3, 4e1\n", "x;y\r\n1;2.5\r\n-3;4e1\r\n", "1   2.5\n -3 4e1"})
    void delimitersAndHeadlinesAreFoundOut(String text) throws Exception {
        Table table = Table.read(Files.writeString(folder.resolve("data.txt"), text));
        assertEquals("data.txt", table.name());
        assertEquals(2, table.rows().size());
        assertArrayEquals(new double[] {1, 2.5}, table.rows().get(0));
        assertArrayEquals(new double[] {-3, 40}, table.rows().get(1));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '>', textBlock = """
            1,2|3,4,5     > line 2: 3 fields, the lines before have 2
            a,b|1,x       > line 2, field 2: expected a number, found 'x'
            1,2|3,        > line 2, field 2: expected a number, found ''
            1,2|3,NaN     > line 2, field 2: expected a number, found 'NaN'
            a,b           > 0 rows of numbers, at least 2 are needed
            1|2           > one column, at least 2 are needed: inputs, then what is to be predicted
            1,2|1,3       > column 1 has a variance of 0.0: it cannot be standardised, leave it out
            """)
    void whatIsWrongWithAFileIsOneLine(String text, String message) throws Exception {
        Path file = Files.writeString(folder.resolve("data.csv"), text.strip().replace('|', '\n'));
        PanoptimException refused = assertThrows(PanoptimException.class, () -> Table.read(file).standardized());
        assertTrue(refused.getMessage().startsWith("--data: ") && refused.getMessage().endsWith(message), refused.getMessage());
        Tool tool = Tool.train("regression", folder, "--data", file.toString());
        assertEquals(2, tool.status());
        assertEquals("panoptim: " + refused.getMessage(), tool.err().strip());
    }

    @Test
    void aMissingFileIsSaid() {
        assertEquals("panoptim: --data: none.csv: cannot be read: no such file",
                Tool.train("regression", folder, "--data", "none.csv").err().strip());
    }

    @Test
    void columnsThatFollowFromOthersDoNotDisturbTheLeastSquares() {
        Random random = new Random(4);
        List<double[]> rows = random.doubles(50).mapToObj(x -> new double[] {x, 2 * x - 1, x + random.nextDouble()}).toList();
        List<double[]> once = rows.stream().map(row -> new double[] {row[0], row[2]}).toList();
        assertEquals(LeastSquares.halfMeanSquaredError(new Table("once", once).standardized().rows()),
                LeastSquares.halfMeanSquaredError(new Table("twice", rows).standardized().rows()), 1e-9);
        double[] means = Arrays.stream(new Table("once", once).standardized().rows().stream().flatMapToDouble(Arrays::stream).toArray())
                .toArray();
        assertEquals(0, Arrays.stream(means).sum(), 1e-9);
        assertEquals(100, Arrays.stream(means).map(x -> x * x).sum(), 1e-9);
    }

    private static Path data() throws URISyntaxException {
        return Path.of(Objects.requireNonNull(RegressionTest.class.getResource("auto-mpg.tsv")).toURI());
    }
}
