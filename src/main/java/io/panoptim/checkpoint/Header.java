package io.panoptim.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.panoptim.PanoptimException;
import io.panoptim.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The header of a safetensors file: a length in 8 bytes, then that many bytes of JSON. Reading checks all of it. */
record Header(Map<String, String> metadata, Map<String, TensorInfo> tensors) {
    /** Bytes of the length. */
    static final int PREFIX = 8;
    /** The longest JSON that the format's own library accepts. */
    static final int LONGEST = 100_000_000;

    private static final String METADATA = "__metadata__";
    private static final Set<String> KEYS = Set.of("dtype", "shape", "data_offsets");
    private static final int ALIGNMENT = 64;
    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .streamReadConstraints(StreamReadConstraints.builder()
                            .maxStringLength(LONGEST).maxNameLength(LONGEST).build())
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    /**
     * Reads the JSON.
     *
     * @param file for messages
     * @param dataBytes how many bytes follow it in the file
     */
    static Header parse(String file, ByteBuffer json, long dataBytes) {
        if (!json.hasRemaining() || json.get(json.position()) != '{') {
            throw invalid(file, "the header does not begin with '{'");
        }
        Map<String, String> metadata = Map.of();
        Map<String, TensorInfo> tensors = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : tree(file, json).properties()) {
            if (entry.getKey().equals(METADATA)) {
                metadata = metadata(file, entry.getValue());
            } else {
                tensors.put(entry.getKey(), info(file + ": tensor '" + entry.getKey() + "'", entry.getValue(), dataBytes));
            }
        }
        checkOffsets(file, tensors, dataBytes);
        return new Header(metadata, tensors);
    }

    /** The header under which these tensors lie one after the other; those of larger elements first, which aligns all. */
    static Header of(Map<String, Tensor> tensors, Map<String, String> metadata) {
        Map<String, TensorInfo> infos = new LinkedHashMap<>();
        long end = 0;
        for (String name : tensors.keySet().stream()
                .sorted(Comparator.comparingInt(key -> -tensors.get(key).dtype().bytes())).toList()) {
            Tensor tensor = tensors.get(name);
            if (name.equals(METADATA)) {
                throw PanoptimException.invalid("SafeTensors.write", "no tensor can be called '" + METADATA + "'");
            }
            long begin = end;
            end += tensor.bytes();
            infos.put(name, new TensorInfo(StoredType.valueOf(tensor.dtype().safetensorsName()),
                    Arrays.stream(tensor.shape()).boxed().toList(), begin, end));
        }
        return new Header(metadata, infos);
    }

    /** Length and JSON, filled up with spaces so that the data begins at a multiple of 64 bytes. */
    ByteBuffer bytes() throws JsonProcessingException {
        ObjectNode json = JSON.createObjectNode();
        if (!metadata.isEmpty()) {
            json.set(METADATA, JSON.valueToTree(metadata));
        }
        tensors.forEach((name, info) -> {
            ObjectNode tensor = json.putObject(name).put("dtype", info.type().name());
            info.shape().forEach(tensor.putArray("shape")::add);
            tensor.putArray("data_offsets").add(info.begin()).add(info.end());
        });
        byte[] text = JSON.writeValueAsBytes(json);
        int length = Math.ceilDiv(PREFIX + text.length, ALIGNMENT) * ALIGNMENT;
        if (length - PREFIX > LONGEST) {
            throw PanoptimException.invalid("SafeTensors.write", "the names, shapes and metadata take " + text.length
                    + " bytes, more than the format's " + LONGEST);
        }
        byte[] all = new byte[length];
        Arrays.fill(all, (byte) ' ');
        System.arraycopy(text, 0, all, PREFIX, text.length);
        return ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length - PREFIX);
    }

    private static JsonNode tree(String file, ByteBuffer json) {
        try {
            // Decoded here, since a JSON parser would also take UTF-16 and UTF-32.
            return JSON.readTree(StandardCharsets.UTF_8.newDecoder().decode(json).toString());
        } catch (CharacterCodingException refused) {
            throw invalid(file, "the header is not UTF-8");
        } catch (JsonProcessingException refused) {
            throw invalid(file, "the header is not valid JSON: " + refused.getOriginalMessage() + " (column "
                    + refused.getLocation().getColumnNr() + ")");
        }
    }

    private static Map<String, String> metadata(String file, JsonNode node) {
        if (!node.isObject()) {
            throw invalid(file, METADATA + ": expected an object, found " + node);
        }
        Map<String, String> metadata = new LinkedHashMap<>();
        node.properties().forEach(entry -> {
            if (!entry.getValue().isTextual()) {
                throw invalid(file, METADATA + " '" + entry.getKey() + "': expected a string, found " + entry.getValue());
            }
            metadata.put(entry.getKey(), entry.getValue().textValue());
        });
        return metadata;
    }

    private static TensorInfo info(String where, JsonNode node, long dataBytes) {
        node.properties().forEach(entry -> {
            if (!KEYS.contains(entry.getKey())) {
                throw invalid(where, "unknown key '" + entry.getKey() + "'");
            }
        });
        if (!node.path("dtype").isTextual()) {
            throw invalid(where, "expected a string as dtype, found " + node.path("dtype"));
        }
        String name = node.get("dtype").textValue();
        StoredType type = StoredType.named(name).orElseThrow(() -> invalid(where, "unknown dtype '" + name
                + "': the format has " + Arrays.toString(StoredType.values())));
        List<Long> shape = naturals(where, node, "shape");
        List<Long> offsets = naturals(where, node, "data_offsets");
        if (offsets.size() != 2 || offsets.get(0) > offsets.get(1)) {
            throw invalid(where, "expected [begin, end] as data_offsets, found " + offsets);
        }
        TensorInfo info = new TensorInfo(type, shape, offsets.get(0), offsets.get(1));
        long bytes = bytes(where, info);
        if (info.end() - info.begin() != bytes) {
            throw invalid(where, info + " takes " + bytes + " bytes, but data_offsets " + offsets + " hold "
                    + (info.end() - info.begin()));
        }
        if (info.end() > dataBytes) {
            throw invalid(where, "ends at byte " + info.end() + " of the data, but the file holds only " + dataBytes
                    + " bytes of it: was it truncated?");
        }
        return info;
    }

    private static long bytes(String where, TensorInfo info) {
        try {
            // Sizes of 0 are left out until the end: the strides of such a tensor must not overflow either.
            long bits = info.type().bits();
            for (long size : info.shape()) {
                bits = Math.multiplyExact(bits, Math.max(size, 1));
            }
            if (info.shape().contains(0L)) {
                return 0;
            }
            if (bits % 8 != 0) {
                throw invalid(where, info + " is not a whole number of bytes");
            }
            return bits / 8;
        } catch (ArithmeticException overflow) {
            throw invalid(where, info + " is larger than any file");
        }
    }

    private static List<Long> naturals(String where, JsonNode node, String key) {
        JsonNode list = node.path(key);
        List<Long> numbers = new ArrayList<>();
        list.forEach(number -> {
            if (number.isIntegralNumber() && number.canConvertToLong() && number.longValue() >= 0) {
                numbers.add(number.longValue());
            }
        });
        if (!list.isArray() || numbers.size() != list.size()) {
            throw invalid(where, "expected a list of integers, none negative, as " + key + ", found " + list);
        }
        return List.copyOf(numbers);
    }

    /** The tensors must fill the data, in any order, without overlaps or holes. */
    private static void checkOffsets(String file, Map<String, TensorInfo> tensors, long dataBytes) {
        long end = 0;
        String before = "the header";
        for (Map.Entry<String, TensorInfo> entry : tensors.entrySet().stream().sorted(Map.Entry.comparingByValue(
                Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end))).toList()) {
            long begin = entry.getValue().begin();
            String where = "tensor '" + entry.getKey() + "'";
            if (begin != end) {
                throw invalid(file, where + ": begins at byte " + begin + " of the data, "
                        + (begin < end ? "inside " + before : "leaving a hole after " + before) + ", which ends at " + end);
            }
            end = entry.getValue().end();
            before = where;
        }
        if (end != dataBytes) {
            throw invalid(file, "the file holds " + dataBytes + " bytes of data, but its tensors end at " + end);
        }
    }

    private static PanoptimException invalid(String where, String message) {
        return PanoptimException.invalid("SafeTensors.open", where + ": " + message);
    }
}
