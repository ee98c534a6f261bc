package io.panoptim.engine;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.Device;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The engines of this process: opened on first use and shared, since each holds threads or a device. */
public final class Engines {
    private static final Logger LOGGER = System.getLogger(Engines.class.getName());
    private static final List<EngineProvider> PROVIDERS = ServiceLoader
            .load(EngineProvider.class, Engines.class.getClassLoader()).stream().map(ServiceLoader.Provider::get).toList();
    private static final Map<Key, Engine> OPEN = new ConcurrentHashMap<>();

    private static final Pattern NAME = Pattern.compile("([a-z]+)(?::(\\d{1,9}))?");

    private record Key(String name, Device device) {}

    private Engines() {}

    /** All kinds of engine, the preferred ones first, whether they can be had here or not. */
    public static List<EngineProvider> providers() {
        return PROVIDERS;
    }

    /**
     * The best engine for a device's memory. Without the native library the plain-Java reference engine serves the CPU,
     * and a warning says why.
     */
    public static Engine forDevice(Device device) {
        StringBuilder reasons = new StringBuilder();
        for (EngineProvider provider : PROVIDERS) {
            if (!provider.serves(device)) {
                continue;
            }
            if (provider.unavailable().isEmpty()) {
                return open(provider, device, reasons.toString());
            }
            reasons.append(provider.name()).append(" engine: ").append(provider.unavailable().get()).append('\n');
        }
        throw new PanoptimException(Code.UNAVAILABLE, "Engines.forDevice", "no engine for " + device
                + (reasons.isEmpty() ? "" : ": " + reasons));
    }

    /** The engine of a name ({@code reference}, {@code cpu}, {@code cuda}, {@code cuda:1}), or the reason why it cannot be had. */
    public static Engine named(String name) {
        Matcher parts = NAME.matcher(name);
        EngineProvider provider = PROVIDERS.stream().filter(p -> parts.matches() && p.name().equals(parts.group(1)))
                .filter(p -> parts.group(2) == null || p.device().kind() != Device.Kind.CPU).findFirst()
                .orElseThrow(() -> PanoptimException.invalid("Engines.named", "no engine '" + name + "': there are "
                        + PROVIDERS.stream().map(EngineProvider::name).toList()));
        Device device = parts.group(2) == null ? provider.device()
                : new Device(provider.device().kind(), Integer.parseInt(parts.group(2)));
        provider.unavailable().ifPresent(reason -> {
            throw new PanoptimException(Code.UNAVAILABLE, "Engines.named", "the " + name + " engine cannot be had: " + reason);
        });
        return open(provider, device, "");
    }

    private static Engine open(EngineProvider provider, Device device, String passedOver) {
        return OPEN.computeIfAbsent(new Key(provider.name(), device), key -> {
            if (!passedOver.isEmpty()) {
                LOGGER.log(Level.WARNING, "using the {0} engine, since others cannot be had: {1}", provider.name(), passedOver);
            }
            return provider.open(device);
        });
    }
}
