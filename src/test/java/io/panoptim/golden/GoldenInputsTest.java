package io.panoptim.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.panoptim.golden.GoldenInputs.Format;
import io.panoptim.golden.GoldenInputs.Kind;
import io.panoptim.golden.GoldenInputs.Stream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The generator and the hash agree with {@code record.py}. */
class GoldenInputsTest {

    @Test
    void rebuildsWhatPythonRecorded() throws IOException {
        JsonNode inputs = new ObjectMapper().readTree(Path.of("src/test/golden/inputs.json").toFile()).get("inputs");
        assertFalse(inputs.isEmpty());
        for (JsonNode input : inputs) {
            Format format = Format.of(input.get("dtype").asText());
            long seed = Long.parseUnsignedLong(input.get("seed").asText(), 16);
            Stream stream = Stream.values()[input.get("stream").asInt()];
            String first = input.get("first").asText();
            try (Arena arena = Arena.ofConfined()) {
                // one byte in: the tensors of a trace may lie at any alignment
                MemorySegment values = arena.allocate(1 + input.get("count").asLong() * format.bytes()).asSlice(1);
                GoldenInputs.fill(values, format, Kind.of(input.get("kind").asText()), seed, stream, input.get("tensor").asInt(),
                        input.get("step").asInt());
                assertEquals(first, GoldenInputs.hex(values.asSlice(0, (long) first.split(" ").length * format.bytes()), format), input::toString);
                assertEquals(input.get("hash").asText(), GoldenInputs.hash(values, format), input::toString);
            }
        }
    }

    @Test
    void hashSeesOrderLengthAndSignOfZeroButNotTheNaN() {
        String hash = hash(1, Float.NaN, 0);
        assertEquals(hash, hash(1, Float.intBitsToFloat(0xFFC12345), 0));
        assertNotEquals(hash, hash(Float.NaN, 1, 0));
        assertNotEquals(hash, hash(1, Float.NaN));
        assertNotEquals(hash, hash(1, Float.NaN, -0f));
        assertNotEquals(hash, hash(1, Float.POSITIVE_INFINITY, 0));
    }

    private static String hash(float... values) {
        return GoldenInputs.hash(MemorySegment.ofArray(values), Format.FLOAT32);
    }
}
