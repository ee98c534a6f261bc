package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.PrivateCache;
import io.panoptim.engine.Rule;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** The kernels' sources in the jar, compiled by NVRTC for one device's architecture; kept on disk by their content. */
final class KernelSources {
    private static final String FOLDER = "/META-INF/cuda/src/";
    private static final Pattern INCLUDE = Pattern.compile("^#include \"([^\"]+)\"", Pattern.MULTILINE);
    /** As the build compiles them; NVRTC has 128-bit integers, and generic lambdas on the device, only when asked. */
    private static final List<String> OPTIONS = List.of("-std=c++17", "-fmad=false", "-device-int128", "-default-device");

    private KernelSources() {}

    /**
     * Machine code of a source file's kernels, compiled now or before.
     *
     * @param file such as {@code columns.cu}
     * @param definitions of macros, {@code NAME=text}
     * @param architecture the compute capability, such as 90
     */
    static byte[] compile(Nvrtc compiler, String file, List<String> definitions, int architecture) {
        Map<String, String> headers = new LinkedHashMap<>();
        String source = read(file);
        collect(source, headers);
        List<String> options = new ArrayList<>(OPTIONS);
        options.add("-arch=sm_" + architecture);
        definitions.forEach(definition -> options.add("-D" + definition));
        String content = String.join("\0", options) + "\0" + source + "\0" + String.join("\0", headers.values()) + "\0" + compiler.version();
        String name = file.replaceFirst("\\.cu$", "-sm_" + architecture + ".cubin");
        try {
            Path folder = PrivateCache.folder(PrivateCache.sha256(content.getBytes(StandardCharsets.UTF_8)));
            return PrivateCache.file(folder, name, () -> compiler.compile(file, source, headers, options));
        } catch (IOException noCache) { // compiled every time, then
            return compiler.compile(file, source, headers, options);
        }
    }

    /** The kernels that a source has for one rule. */
    static List<String> definitions(CudaKernels.Source source, Rule rule) {
        String type = Arrays.stream(rule.name().split("_")).map(word -> word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1))
                .collect(Collectors.joining());
        StringBuilder kernels = new StringBuilder("PANOPTIM_ONLY=");
        for (int slots = rule.minSlots(); slots <= rule.states().size(); slots++) {
            if (source == CudaKernels.Source.STAGED) {
                kernels.append("PANOPTIM_STAGED(%s, %s, %d) ".formatted(rule.name(), type, slots));
                if (rule.sums() != null) {
                    kernels.append("PANOPTIM_STAGED_MEASURE(%s, %s, %d, %du) ".formatted(rule.name(), type, slots, rule.sums().flag()));
                }
                continue;
            }
            for (String types : new String[] {"float, float32", "double, float64"}) {
                kernels.append("PANOPTIM_KERNEL(%s, %s, %d, %s) ".formatted(rule.name(), type, slots, types));
                if (rule.sums() != null) {
                    kernels.append("PANOPTIM_MEASURE(%s, %s, %d, %du, %s) ".formatted(rule.name(), type, slots,
                            rule.sums().flag(), types));
                }
            }
        }
        if (rule.sums() != null && source == CudaKernels.Source.STEP) {
            kernels.append("PANOPTIM_FINISH(%s, %s, %du, %d)".formatted(rule.name(), type, rule.sums().flag(), rule.sharedStates().size()));
        }
        return List.of(kernels.toString().strip());
    }

    /** Reads what a source includes, and what that includes. */
    private static void collect(String source, Map<String, String> headers) {
        Matcher includes = INCLUDE.matcher(source);
        while (includes.find()) {
            String name = includes.group(1);
            if (!headers.containsKey(name)) {
                String text = read(name);
                headers.put(name, text);
                collect(text, headers);
            }
        }
    }

    private static String read(String name) {
        try (InputStream in = KernelSources.class.getResourceAsStream(FOLDER + name)) {
            if (in == null) {
                throw new PanoptimException(Code.UNAVAILABLE, "CUDA kernels", "resource " + FOLDER + name + ": not in this build (it is "
                        + "there when nvcc was found by the build)");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }
}
