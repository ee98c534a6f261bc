package io.panoptim.tools.replay;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/** A JSON object of the configuration, read strictly: every refusal says the file and the JSON path. */
final class JsonKeys {
    private static final String CALL = "replay";
    private static final JsonMapper JSON = JsonMapper.builder(
                    JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS) // as Python's json writes them
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    private final String file;
    private final String path;
    private final JsonNode node;
    private final Set<String> asked = new LinkedHashSet<>();

    private JsonKeys(String file, String path, JsonNode node) {
        this.file = file;
        this.path = path;
        this.node = node;
        if (!node.isObject()) {
            throw refusal("expected an object, found " + node);
        }
    }

    static JsonKeys read(Path file) {
        try {
            return new JsonKeys(file.toString(), "$", JSON.readTree(Files.readString(file)));
        } catch (JsonProcessingException refused) {
            String message = refused.getOriginalMessage().replaceAll("\\[Source: [^;]*; ", "["); // which only says that it is hidden
            throw PanoptimException.invalid(CALL, file + ": not valid JSON: " + message + " (line "
                    + refused.getLocation().getLineNr() + ", column " + refused.getLocation().getColumnNr() + ")");
        } catch (CharacterCodingException refused) {
            throw PanoptimException.invalid(CALL, file + ": not UTF-8");
        } catch (IOException failed) {
            throw new PanoptimException(Code.UNAVAILABLE, CALL, file + ": cannot be read: "
                    + (failed instanceof NoSuchFileException ? "no such file" : failed), failed);
        }
    }

    /** An object without keys in the place of one that is missing. */
    JsonKeys objectOrEmpty(String key) {
        return has(key) ? object(key) : new JsonKeys(file, path + "." + key, JSON.createObjectNode());
    }

    JsonKeys object(String key) {
        return new JsonKeys(file, path + "." + key, get(key));
    }

    List<JsonKeys> objects(String key) {
        return list(key, (element, elementPath) -> new JsonKeys(file, elementPath, element));
    }

    boolean has(String key) {
        asked.add(key);
        return node.has(key);
    }

    /** The keys that are there and were not asked for yet. */
    List<String> others() {
        return node.properties().stream().map(Map.Entry::getKey).filter(key -> !asked.contains(key)).toList();
    }

    JsonNode get(String key) {
        if (!has(key)) {
            throw refusal("'" + key + "' is missing");
        }
        return node.get(key);
    }

    String text(String key) {
        return text(get(key), path + "." + key);
    }

    List<String> texts(String key) {
        return list(key, this::text);
    }

    double number(String key) {
        return number(get(key), path + "." + key);
    }

    double number(String key, double otherwise) {
        return has(key) ? number(key) : otherwise;
    }

    List<Double> numbers(String key) {
        return list(key, this::number);
    }

    long integer(String key) {
        return integer(get(key), path + "." + key);
    }

    long integer(String key, long otherwise) {
        return has(key) ? integer(key) : otherwise;
    }

    long[] integers(String key) {
        return list(key, this::integer).stream().mapToLong(Long::longValue).toArray();
    }

    /** Refuses keys that were not asked for. */
    void finish() {
        others().stream().findFirst().ifPresent(key -> {
            throw refusalOf(key, "unknown key: expected one of " + asked);
        });
    }

    /** Adds the place in the configuration to what is refused elsewhere. */
    <T> T located(Supplier<T> work) {
        try {
            return work.get();
        } catch (PanoptimException refused) {
            throw refused.call().equals(CALL) ? refused : refusal(refused.getMessage());
        }
    }

    /** A refusal of this object. */
    PanoptimException refusal(String message) {
        return refusal(path, message);
    }

    /** A refusal of the value of a key. */
    PanoptimException refusalOf(String key, String message) {
        return refusal(path + "." + key, message);
    }

    private PanoptimException refusal(String where, String message) {
        return PanoptimException.invalid(CALL, file + ": " + where + ": " + message);
    }

    private <T> List<T> list(String key, BiFunction<JsonNode, String, T> element) {
        JsonNode list = get(key);
        if (!list.isArray()) {
            throw refusalOf(key, "expected a list, found " + list);
        }
        List<T> elements = new ArrayList<>();
        for (int i = 0; i < list.size(); i++) {
            elements.add(element.apply(list.get(i), path + "." + key + "[" + i + "]"));
        }
        return elements;
    }

    private String text(JsonNode value, String where) {
        if (!value.isTextual()) {
            throw refusal(where, "expected a string, found " + value);
        }
        return value.textValue();
    }

    private double number(JsonNode value, String where) {
        if (!value.isNumber()) {
            throw refusal(where, "expected a number, found " + value);
        }
        return value.doubleValue();
    }

    private long integer(JsonNode value, String where) {
        if (!value.isIntegralNumber() || !value.canConvertToLong()) {
            throw refusal(where, "expected an integer, found " + value);
        }
        return value.longValue();
    }
}
