package io.panoptim.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a record of options may consist of. */
class OptionSchemaTest {
    enum Shape { ROUND, VERY_SQUARE }

    enum Maybe { NONE, SO }

    record Options(double lr, boolean flag, int count, OptionalDouble perhaps, OptionalInt limit, Shape shape, Maybe maybe, Betas betas) {}

    private static final Options DEFAULTS = new Options(0.5, true, -3, OptionalDouble.empty(), OptionalInt.of(4), Shape.VERY_SQUARE,
            Maybe.NONE, new Betas(1, 2));
    private static final OptionSchema<Options> SCHEMA = OptionSchema.of("Test", DEFAULTS);

    @Test
    void everyTypeGoesThroughTheNumbersAndBack() {
        assertEquals(DEFAULTS, SCHEMA.options(SCHEMA.values(DEFAULTS)));
        Options other = new Options(-1, false, Integer.MIN_VALUE, OptionalDouble.of(7), OptionalInt.empty(), Shape.ROUND, Maybe.SO,
                new Betas(3, 4));
        assertEquals(other, SCHEMA.options(SCHEMA.values(other)));
        assertEquals(List.of("lr", "flag", "count", "perhaps", "limit", "shape", "maybe", "betas"), SCHEMA.names());
    }

    @Test
    void optionsAreReplacedByWhatPythonHas() {
        assertEquals(new Options(2, false, 9, OptionalDouble.of(1), OptionalInt.of(8), Shape.ROUND, Maybe.SO, new Betas(5, 6)),
                SCHEMA.with(DEFAULTS, Map.of("lr", 2, "flag", false, "count", 9.0, "perhaps", 1, "limit", 8, "shape", "round",
                        "maybe", "so", "betas", new double[] {5, 6})));
        assertEquals(DEFAULTS, SCHEMA.with(DEFAULTS, Map.of("shape", "very_square", "maybe", Maybe.NONE)));
    }

    @Test
    void someMayBeNone() {
        assertEquals(Optional.of(OptionalDouble.empty()), SCHEMA.none("perhaps"));
        assertEquals(Optional.of(OptionalInt.empty()), SCHEMA.none("limit"));
        assertEquals(Optional.of(Maybe.NONE), SCHEMA.none("maybe"));
        for (String other : List.of("lr", "flag", "count", "shape", "betas")) {
            assertEquals(Optional.empty(), SCHEMA.none(other), other);
        }
        assertTrue(SCHEMA.isChoice("shape") && !SCHEMA.isChoice("count"));
    }

    @Test
    void flagsAndChoicesAreNoNumbers() {
        assertEquals(List.of(1, 0, 1, 1, 1, 0, 0, 2), SCHEMA.names().stream().map(SCHEMA::numbers).toList());
        assertEquals(List.of("count", "limit"), SCHEMA.names().stream().filter(name -> SCHEMA.isInteger(SCHEMA.index(name))).toList());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            lr      | x          | a number
            flag    | 1          | a boolean
            count   | x          | an integer
            perhaps | x          | a number or none
            limit   | x          | an integer or none
            shape   | square     | 'round' or 'very_square'
            shape   | ROUND      | 'round' or 'very_square'
            maybe   | none       | 'so' or none
            betas   | x          | 2 numbers
            """, quoteCharacter = '"')
    void aValueOfAnotherTypeIsRefused(String name, String value, String expected) {
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> SCHEMA.with(DEFAULTS, Map.of(name, value)));
        assertEquals("Test: option '" + name + "' takes " + expected + ", not " + value, refusal.getMessage());
    }

    @Test
    void anIntegerIsOneAndFits() {
        for (Object value : List.of(1.5, Double.NaN, Double.POSITIVE_INFINITY, 1L << 31, true)) {
            assertThrows(PanoptimException.class, () -> SCHEMA.with(DEFAULTS, Map.of("count", value)));
            assertThrows(PanoptimException.class, () -> SCHEMA.with(DEFAULTS, Map.of("limit", value)));
        }
        assertThrows(PanoptimException.class, () -> SCHEMA.with(DEFAULTS, Map.of("perhaps", Double.NaN)));
    }

    @Test
    void forPeopleThereIsNoOptional() {
        double[] values = SCHEMA.values(DEFAULTS);
        assertEquals(List.of("0.5", "true", "-3", "None", "4", "very_square", "None", "(1.0, 2.0)"),
                SCHEMA.names().stream().map(name -> SCHEMA.text(values, name)).toList());
    }
}
