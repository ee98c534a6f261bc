package io.panoptim.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafeTensorsTest {
    /** Written by {@code src/test/resources/io/panoptim/tools/replay/record.py}. */
    private static final Path PYTHON = Path.of("src/test/resources/io/panoptim/checkpoint/python.safetensors");

    @TempDir
    private Path folder;

    @Test
    void readsWhatPythonWrote() {
        try (SafeTensors file = SafeTensors.open(PYTHON)) {
            assertEquals(Map.of("lr", "[[0.1]]", "über", "\"\n"), file.metadata());
            assertEquals(List.of(1.5, -2.0, Double.NEGATIVE_INFINITY), values(file.tensor("f64")));
            assertEquals(List.of(0.1f + 0.0, -0.0, 1e-45f + 0.0), values(file.tensor("f32")));
            assertEquals(List.of(1.0, -3.140625), values(file.tensor("bf16")));
            assertEquals(List.of(65504.0, Math.scalb(1.0, -24)), values(file.tensor("half/größe")));
            assertEquals(List.of(0.0, 255.0), values(file.tensor("u8")));
            assertEquals(List.of(7.0), values(file.tensor("scalar")));
            assertEquals(0, file.tensor("scalar").shape().length);
            assertArrayEquals(new long[] {3, 0}, file.tensor("empty").shape());
            assertEquals("I64[2]", file.tensors().get("emb.indices").toString());
            assertEquals(List.of(3.0, 1.0), values(file.tensor("emb.indices")));
            assertTrue(assertThrows(PanoptimException.class, () -> file.tensor("no")).getMessage().contains("no tensor 'no'"));
        }
    }

    @Test
    void aTypeThatTheLibraryLacksIsRefusedWhenItsTensorIsAskedFor() throws IOException {
        byte[] json = "{\"mask\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[0,2]}}".getBytes(StandardCharsets.UTF_8);
        Path path = file(raw(json.length, json, 2));
        try (SafeTensors file = SafeTensors.open(path)) {
            assertEquals("BOOL[2]", file.tensors().get("mask").toString());
            PanoptimException refused = assertThrows(PanoptimException.class, () -> file.tensor("mask"));
            assertEquals("SafeTensors.tensor: " + path
                    + ": tensor 'mask' is BOOL[2], of a type that this library does not compute with", refused.getMessage());
        }
    }

    @Test
    void tensorsAreReadOnlyAndEndWithTheFile() {
        SafeTensors file = SafeTensors.open(PYTHON);
        Tensor tensor = file.tensor("f32");
        assertTrue(tensor.segment().isReadOnly());
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> tensor.get(0));
    }

    @Test
    void readsBackWhatItWrote() {
        Path target = folder.resolve("all.safetensors");
        try (Arena arena = Arena.ofConfined()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (DType dtype : DType.values()) {
                Tensor tensor = Tensor.zeros(arena, dtype, 3, 1);
                for (int i = 0; i < 3; i++) {
                    tensor.set(i, i + 1);
                }
                tensors.put(dtype + "/x", tensor);
            }
            tensors.put("scalar", Tensor.of(MemorySegment.ofArray(new float[] {7}), DType.FLOAT32));
            tensors.put("empty", Tensor.zeros(arena, DType.FLOAT64, 0));
            SafeTensors.write(target, tensors, Map.of("lr", "[[0.1]]", "quote", "\"ü\n"));
            try (SafeTensors file = SafeTensors.open(target)) {
                assertEquals(Map.of("lr", "[[0.1]]", "quote", "\"ü\n"), file.metadata());
                assertEquals(tensors.keySet(), file.tensors().keySet());
                tensors.forEach((name, tensor) -> {
                    assertEquals(tensor.toString(), file.tensor(name).toString());
                    assertEquals(-1, file.tensor(name).segment().mismatch(tensor.segment()), name);
                    assertEquals(0, file.tensor(name).address() % tensor.dtype().bytes(), name + " is not aligned");
                });
                assertEquals(0, file.tensor("float64/x").address() % 64);
            }
        }
        assertEquals(List.of(target), files());
    }

    @Test
    void tensorsLargerThanTheBuffer() {
        Path target = folder.resolve("large.safetensors");
        int[] values = new int[(1 << 20) + 3];
        Arrays.setAll(values, i -> i);
        Tensor tensor = Tensor.of(MemorySegment.ofArray(values), DType.FLOAT32, values.length);
        SafeTensors.write(target, Map.of("x", tensor), Map.of());
        try (SafeTensors file = SafeTensors.open(target)) {
            assertEquals(-1, file.tensor("x").segment().mismatch(tensor.segment()));
        }
    }

    @Test
    void tensorsOfAnyOrderAreRowMajorInTheFile() {
        Path target = folder.resolve("transposed.safetensors");
        Tensor transposed = Tensor.of(MemorySegment.ofArray(new long[] {Long.MAX_VALUE, 4, 2, 5, 3, 6}), DType.INT64, new long[] {2, 3},
                new long[] {1, 2});
        SafeTensors.write(target, Map.of("t", transposed), Map.of());
        try (SafeTensors file = SafeTensors.open(target)) {
            assertArrayEquals(new long[] {Long.MAX_VALUE, 2, 3, 4, 5, 6}, file.tensor("t").segment().toArray(
                    ValueLayout.JAVA_LONG_UNALIGNED));
        }
    }

    @Test
    void replacesAFileOrLeavesItAsItWas() throws IOException {
        Path target = folder.resolve("out.safetensors");
        Files.writeString(target, "old");
        try (Arena arena = Arena.ofConfined()) {
            Tensor closed = Tensor.of(closedSegment(), DType.FLOAT32, 1);
            assertThrows(IllegalStateException.class, () -> SafeTensors.write(target, Map.of("x", closed), Map.of()));
            assertEquals("old", Files.readString(target));
            assertEquals(List.of(target), files());

            Path link = Files.createSymbolicLink(folder.resolve("link"), target);
            SafeTensors.write(link, Map.of("x", Tensor.zeros(arena, DType.FLOAT32, 1)), Map.of());
            assertTrue(Files.isSymbolicLink(link));
            try (SafeTensors file = SafeTensors.open(target)) {
                assertEquals(List.of(0.0), values(file.tensor("x")));
            }
        }
    }

    private static MemorySegment closedSegment() {
        try (Arena arena = Arena.ofConfined()) {
            return arena.allocate(4);
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "/dev/null | INVALID | exists and is not a regular file",
        "/no/such/folder/x | UNAVAILABLE | cannot be written: no such file or folder"})
    void refusesTargets(Path target, Code code, String message) {
        PanoptimException refused = assertThrows(PanoptimException.class, () -> SafeTensors.write(target, Map.of(), Map.of()));
        assertEquals("SafeTensors.write: " + target + ": " + message, refused.getMessage());
        assertEquals(code, refused.code());
    }

    @Test
    void refusesTheMetadataAsATensor() {
        Tensor tensor = Tensor.of(MemorySegment.ofArray(new byte[4]), DType.FLOAT32, 1);
        assertThrows(PanoptimException.class,
                () -> SafeTensors.write(folder.resolve("x"), Map.of("__metadata__", tensor), Map.of()));
        assertEquals(List.of(), files());
    }

    /** The header, the bytes of data that follow it, and the message without its beginning. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
        "[]|0|the header does not begin with '{'",
        "` {}`|0|the header does not begin with '{'",
        "{}|4|the file holds 4 bytes of data, but its tensors end at 0",
        "{'__metadata__':[]}|0|__metadata__: expected an object, found []",
        "{'__metadata__':{'epoch':3}}|0|__metadata__ 'epoch': expected a string, found 3",
        "{'a':{'dtype':'F33','shape':[1],'data_offsets':[0,4]}}|4|tensor 'a': unknown dtype 'F33': the format has [BOOL, F4, F6_E2M3, "
                + "F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, I16, U16, F16, BF16, I32, U32, F32, C64, "
                + "F64, I64, U64]",
        "{'a':{'shape':[1],'data_offsets':[0,4]}}|4|tensor 'a': expected a string as dtype, found ",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4],'crc':1}}|4|tensor 'a': unknown key 'crc'",
        "{'a':{'dtype':'F32','shape':[-1],'data_offsets':[0,4]}}|4|"
                + "tensor 'a': expected a list of integers, none negative, as shape, found [-1]",
        "{'a':{'dtype':'F32','shape':[1.0],'data_offsets':[0,4]}}|4|"
                + "tensor 'a': expected a list of integers, none negative, as shape, found [1.0]",
        "{'a':{'dtype':'F32','shape':[99999999999999999999],'data_offsets':[0,4]}}|4|"
                + "tensor 'a': expected a list of integers, none negative, as shape, found [99999999999999999999]",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0]}}|4|tensor 'a': expected [begin, end] as data_offsets, found [0]",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[4,0]}}|4|tensor 'a': expected [begin, end] as data_offsets, found [4, 0]",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,4]}}|4|tensor 'a': F32[2] takes 8 bytes, but data_offsets [0, 4] hold 4",
        "{'a':{'dtype':'F32','shape':[4611686018427387904],'data_offsets':[0,0]}}|0|"
                + "tensor 'a': F32[4611686018427387904] is larger than any file",
        "{'a':{'dtype':'U8','shape':[0,4611686018427387904,4],'data_offsets':[0,0]}}|0|"
                + "tensor 'a': U8[0, 4611686018427387904, 4] is larger than any file",
        "{'a':{'dtype':'F4','shape':[3],'data_offsets':[0,1]}}|1|tensor 'a': F4[3] is not a whole number of bytes",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}|7|"
                + "tensor 'a': ends at byte 8 of the data, but the file holds only 7 bytes of it: was it truncated?",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}|5|the file holds 5 bytes of data, but its tensors end at 4",
        "{'a':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}|8|"
                + "tensor 'a': begins at byte 4 of the data, leaving a hole after the header, which ends at 0",
        "{'a':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'b':{'dtype':'F32','shape':[2],'data_offsets':[4,12]}}|12|"
                + "tensor 'b': begins at byte 4 of the data, inside tensor 'a', which ends at 8",
    })
    void refusesALyingHeader(String header, int dataBytes, String message) throws IOException {
        byte[] json = header.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        assertRefused(raw(json.length, json, dataBytes), message);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{\"a\":}", "{} {}", "{\"__metadata__\":{},\"__metadata__\":{}}",
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"})
    void refusesWhatIsNotJsonAndDuplicateKeys(String header) throws IOException {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        Path file = file(raw(json.length, json, 0));
        String message = assertThrows(PanoptimException.class, () -> SafeTensors.open(file)).getMessage();
        assertTrue(message.startsWith("SafeTensors.open: " + file + ": the header is not valid JSON: "), message);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 7})
    void refusesAFileTooShortForALength(int bytes) throws IOException {
        assertRefused(new byte[bytes], "has " + bytes
                + " bytes, too few for a safetensors file, which begins with the 8 bytes of its header's length");
    }

    @Test
    void refusesLyingLengths() throws IOException {
        byte[] json = "{}".getBytes(StandardCharsets.UTF_8);
        assertRefused(raw(3, json, 0), "its header should have 3 bytes, but only 2 follow: was it truncated?");
        assertRefused(raw(0, json, 0), "the header does not begin with '{'");
        assertRefused(raw(100_000_001, json, 0), "its first 8 bytes say that the header has 100000001 bytes, more than the "
                + "format's 100000000: not a safetensors file?");
        assertRefused(raw(-1, json, 0), "its first 8 bytes say that the header has 18446744073709551615 bytes, more than the "
                + "format's 100000000: not a safetensors file?");
    }

    @Test
    void refusesWhatIsNotUtf8() throws IOException {
        assertRefused(raw(4, new byte[] {'{', '"', (byte) 0xff, '}'}, 0), "the header is not UTF-8");
        byte[] utf16 = "{}".getBytes(StandardCharsets.UTF_16LE);
        assertThrows(PanoptimException.class, () -> SafeTensors.open(file(raw(utf16.length, utf16, 0))));
    }

    @Test
    void readsTensorsOfAnyAlignment() throws IOException {
        byte[] json = "{\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}".getBytes(StandardCharsets.UTF_8);
        assertEquals(1, json.length % 2); // so that the data begins at an odd address
        byte[] bytes = raw(json.length, json, 8);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putDouble(8 + json.length, 0.1);
        try (SafeTensors file = SafeTensors.open(file(bytes))) {
            assertEquals(List.of(0.1), values(file.tensor("a")));
        }
    }

    @Test
    void refusesAMissingFile() {
        PanoptimException refused = assertThrows(PanoptimException.class, () -> SafeTensors.open(folder.resolve("none")));
        assertEquals("SafeTensors.open: " + folder.resolve("none") + ": cannot be read: no such file or folder",
                refused.getMessage());
        assertEquals(Code.UNAVAILABLE, refused.code());
    }

    private void assertRefused(byte[] bytes, String message) throws IOException {
        Path file = file(bytes);
        PanoptimException refused = assertThrows(PanoptimException.class, () -> SafeTensors.open(file));
        assertEquals(("SafeTensors.open: " + file + ": " + message).strip(), refused.getMessage().strip());
        assertEquals(Code.INVALID, refused.code());
    }

    private Path file(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("raw.safetensors"), bytes);
    }

    private static byte[] raw(long length, byte[] json, int dataBytes) {
        return ByteBuffer.allocate(8 + json.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN).putLong(length).put(json).array();
    }

    private static List<Double> values(Tensor tensor) {
        return LongStream.range(0, tensor.elements()).mapToObj(tensor::get).toList();
    }

    private List<Path> files() {
        try (var files = Files.list(folder)) {
            return files.toList();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }
}
