package io.panoptim.tensor;

import io.panoptim.PanoptimException;
import java.util.Optional;
import java.util.ServiceLoader;

/**
 * Where memory lies.
 *
 * @param kind the CPU's memory or a CUDA device's
 * @param index which device of that kind, from 0
 */
public record Device(Kind kind, int index) {
    private static final Device CPU = new Device(Kind.CPU, 0);

    /** The kinds of memory. */
    public enum Kind { CPU, CUDA }

    /** The memory that the CPU's engines work on. */
    public static Device cpu() {
        return CPU;
    }

    /** The memory of a CUDA device. */
    public static Device cuda(int index) {
        return new Device(Kind.CUDA, index);
    }

    /** Finds devices other than the CPU that can be used here; listed in {@code META-INF/services}. */
    public interface Finder {
        /** The best one, if there is any. */
        Optional<Device> find();
    }

    /** The name of the system property that says which device is the best: {@code cpu}, {@code cuda}, {@code cuda:1}. */
    public static final String PROPERTY = "panoptim.device";

    private static final class Best {
        static final Device FOUND = ServiceLoader.load(Finder.class, Device.class.getClassLoader()).stream()
                .map(finder -> finder.get().find()).flatMap(Optional::stream).findFirst().orElse(CPU);
    }

    /**
     * The first CUDA device where there is a usable one, else the CPU; or the one that the system property {@value #PROPERTY} names.
     *
     * @throws PanoptimException when that is no device's name
     */
    public static Device best() {
        String named = System.getProperty(PROPERTY);
        return named == null ? Best.FOUND : of(named);
    }

    /**
     * The device of one of torch's names: {@code cpu}, {@code cuda}, {@code cuda:1}.
     *
     * @throws PanoptimException when it is none
     */
    public static Device of(String name) {
        if (name.equals("cpu")) {
            return CPU;
        }
        if (!name.matches("cuda(:\\d{1,9})?")) {
            throw PanoptimException.invalid("Device.of", "'" + name + "' is no device: expected cpu, cuda or cuda:<number>");
        }
        return cuda(name.equals("cuda") ? 0 : Integer.parseInt(name.substring("cuda:".length())));
    }

    /** torch's name: {@code cpu}, {@code cuda:0}. */
    @Override
    public String toString() {
        return kind == Kind.CPU ? "cpu" : "cuda:" + index;
    }
}
