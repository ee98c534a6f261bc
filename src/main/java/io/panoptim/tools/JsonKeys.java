package io.panoptim.tools;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/** A JSON object, of a file or written as an option, read strictly: every refusal says where it is. */
public final class JsonKeys {
    private static final JsonMapper JSON = JsonMapper.builder(
                    JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build())
            .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS) // as Python's json writes them
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();
    private static final ObjectReader OPTION = JSON.reader() // numbers also as --lr takes them: .5, 1. and +1
            .with(JsonReadFeature.ALLOW_LEADING_DECIMAL_POINT_FOR_NUMBERS)
            .with(JsonReadFeature.ALLOW_TRAILING_DECIMAL_POINT_FOR_NUMBERS)
            .with(JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS);

    /** The command, the file and the JSON path; or the option, and a path in it. */
    private final String path;
    private final JsonNode node;
    private final boolean option;
    private final Set<String> asked = new LinkedHashSet<>();

    private JsonKeys(String path, JsonNode node, boolean option) {
        this.path = path;
        this.node = node;
        this.option = option;
        if (!node.isObject()) {
            throw refusal("expected an object, found " + node);
        }
    }

    /** Reads a file for a command. */
    public static JsonKeys read(String command, Path file) {
        try {
            return new JsonKeys(command + ": " + file + ": $", JSON.readTree(Files.readString(file)), false);
        } catch (JsonProcessingException refused) {
            String message = refused.getOriginalMessage().replaceAll("\\[Source: [^;]*; ", "["); // which only says that it is hidden
            throw PanoptimException.invalid(command, file + ": not valid JSON: " + message + " (line "
                    + refused.getLocation().getLineNr() + ", column " + refused.getLocation().getColumnNr() + ")");
        } catch (CharacterCodingException refused) {
            throw PanoptimException.invalid(command, file + ": not UTF-8");
        } catch (IOException failed) {
            throw new PanoptimException(Code.UNAVAILABLE, command, file + ": cannot be read: "
                    + (failed instanceof NoSuchFileException ? "no such file" : failed), failed);
        }
    }

    /**
     * The object that an option's text stands for.
     *
     * @param option the option's name
     * @param text {@code NAME:KEY=VALUE,...}, the name for the key {@code name}, a list with {@code +} between its elements;
     *     or the object itself
     */
    public static JsonKeys parse(String option, String text) {
        if (text.stripLeading().startsWith("{")) {
            try {
                return new JsonKeys(option, JSON.readTree(text), false);
            } catch (JsonProcessingException refused) {
                throw PanoptimException.invalid(option, "not valid JSON: " + refused.getOriginalMessage());
            }
        }
        String[] parts = text.split(":", 2);
        ObjectNode object = JSON.createObjectNode().put("name", parts[0].strip());
        JsonKeys keys = new JsonKeys(option, object, true);
        for (String argument : parts.length == 1 || parts[1].isBlank() ? new String[0] : parts[1].split(",")) {
            String[] pair = argument.split("=", 2);
            if (pair.length == 1) {
                throw keys.refusal("expected KEY=VALUE, found '" + argument + "'");
            }
            String key = pair[0].strip();
            if (object.has(key)) {
                throw keys.refusalOf(key, "given twice");
            }
            object.set(key, value(pair[1].strip()));
        }
        return keys;
    }

    private static JsonNode value(String text) {
        JsonNode whole = scalar(text);
        if (!whole.isTextual() || !text.contains("+")) { // 1e+3 is a number
            return whole;
        }
        ArrayNode list = JSON.createArrayNode();
        for (String element : text.split("\\+", -1)) {
            list.add(scalar(element.strip()));
        }
        return list;
    }

    /** What is no JSON is a string without its quotes. */
    private static JsonNode scalar(String text) {
        try {
            JsonNode value = OPTION.readTree(text);
            return value.isValueNode() ? value : TextNode.valueOf(text);
        } catch (JsonProcessingException bare) {
            return TextNode.valueOf(text);
        }
    }

    /** An object made of Java values. */
    public static JsonKeys of(String option, Map<String, ?> values) {
        return new JsonKeys(option, JSON.valueToTree(values), true);
    }

    /** An object without keys in the place of one that is missing. */
    public JsonKeys objectOrEmpty(String key) {
        return has(key) ? object(key) : new JsonKeys(path + "." + key, JSON.createObjectNode(), option);
    }

    public JsonKeys object(String key) {
        return new JsonKeys(path + "." + key, get(key), option);
    }

    public List<JsonKeys> objects(String key) {
        return list(key, (element, elementPath) -> new JsonKeys(elementPath, element, option));
    }

    public boolean has(String key) {
        asked.add(key);
        return node.has(key);
    }

    /** Whether the key is there and not null, Python's {@code None}. */
    boolean hasValue(String key) {
        return has(key) && !node.get(key).isNull();
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

    public String text(String key) {
        return text(get(key), path + "." + key);
    }

    public List<String> texts(String key) {
        return list(key, JsonKeys::text);
    }

    public double number(String key) {
        return number(get(key), path + "." + key);
    }

    double number(String key, double otherwise) {
        return has(key) ? number(key) : otherwise;
    }

    /** A number, or infinity as the string {@code inf}, as people write it who cannot write Python's {@code Infinity}. */
    public double numberOrInf(String key, double otherwise) {
        return has(key) && node.get(key).isTextual() && text(key).equals("inf") ? Double.POSITIVE_INFINITY : number(key, otherwise);
    }

    public List<Double> numbers(String key) {
        return list(key, JsonKeys::number);
    }

    public long integer(String key) {
        return integer(get(key), path + "." + key);
    }

    long integer(String key, long otherwise) {
        return has(key) ? integer(key) : otherwise;
    }

    long[] integers(String key) {
        return list(key, JsonKeys::integer).stream().mapToLong(Long::longValue).toArray();
    }

    /** An integer that is a Java int. */
    int smallInteger(String key, int otherwise) {
        long value = integer(key, otherwise);
        if (value != (int) value) {
            throw refusalOf(key, "expected an integer of up to " + Integer.MAX_VALUE + ", found " + value);
        }
        return (int) value;
    }

    int[] smallIntegers(String key) {
        return list(key, JsonKeys::integer).stream().mapToInt(value -> Math.clamp(value, -1, Integer.MAX_VALUE)).toArray();
    }

    boolean flag(String key, boolean otherwise) {
        if (!has(key)) {
            return otherwise;
        }
        if (!node.get(key).isBoolean()) {
            throw refusalOf(key, "expected true or false, found " + node.get(key));
        }
        return node.get(key).booleanValue();
    }

    /** One of an enumeration's constants, by its {@code toString}. */
    <E extends Enum<E>> E choice(String key, E otherwise) {
        if (!has(key)) {
            return otherwise;
        }
        E[] constants = otherwise.getDeclaringClass().getEnumConstants();
        return Arrays.stream(constants).filter(constant -> constant.toString().equals(node.get(key).textValue())).findFirst()
                .orElseThrow(() -> refusalOf(key, "expected one of " + Arrays.toString(constants) + ", found " + node.get(key)));
    }

    /** A number, or a list of them. */
    List<Double> oneOrMoreNumbers(String key) {
        return get(key).isArray() ? numbers(key) : List.of(number(key));
    }

    List<Double> oneOrMoreNumbers(String key, double otherwise) {
        return has(key) ? oneOrMoreNumbers(key) : List.of(otherwise);
    }

    boolean isListOfLists(String key) {
        return get(key).isArray() && get(key).path(0).isArray();
    }

    List<List<Double>> lists(String key) {
        return list(key, (element, where) -> {
            if (!element.isArray()) {
                throw PanoptimException.invalid(where, "expected a list, found " + element);
            }
            List<Double> numbers = new ArrayList<>();
            for (int i = 0; i < element.size(); i++) {
                numbers.add(number(element.get(i), where + "[" + i + "]"));
            }
            return numbers;
        });
    }

    /** Refuses keys that were not asked for. */
    public void finish() {
        others().stream().findFirst().ifPresent(key -> {
            throw refusalOf(key, "unknown key: expected one of " + asked);
        });
    }

    /** Adds the place to what is refused elsewhere. */
    <T> T located(Supplier<T> work) {
        try {
            return work.get();
        } catch (PanoptimException refused) {
            throw refused.call().startsWith(path) ? refused : refusal(refused.getMessage());
        }
    }

    /** A refusal of this object. */
    PanoptimException refusal(String message) {
        return PanoptimException.invalid(path, message);
    }

    /** A refusal of the value of a key. */
    public PanoptimException refusalOf(String key, String message) {
        return PanoptimException.invalid(path + "." + key, message);
    }

    private <T> List<T> list(String key, BiFunction<JsonNode, String, T> element) {
        JsonNode value = get(key);
        JsonNode list = option && value.isValueNode() ? JSON.createArrayNode().add(value) : value; // one needs no '+'
        if (!list.isArray()) {
            throw refusalOf(key, "expected a list, found " + list);
        }
        List<T> elements = new ArrayList<>();
        for (int i = 0; i < list.size(); i++) {
            elements.add(element.apply(list.get(i), path + "." + key + "[" + i + "]"));
        }
        return elements;
    }

    private static String text(JsonNode value, String where) {
        if (!value.isTextual()) {
            throw PanoptimException.invalid(where, "expected a string, found " + value);
        }
        return value.textValue();
    }

    private static double number(JsonNode value, String where) {
        if (!value.isNumber()) {
            throw PanoptimException.invalid(where, "expected a number, found " + value);
        }
        return value.doubleValue();
    }

    private static long integer(JsonNode value, String where) {
        if (!value.isIntegralNumber() || !value.canConvertToLong()) {
            throw PanoptimException.invalid(where, "expected an integer, found " + value);
        }
        return value.longValue();
    }
}
