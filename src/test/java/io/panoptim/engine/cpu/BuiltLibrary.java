package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assumptions.abort;

import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Path;

/** The shared objects that the build put among the resources, for this machine's architecture and others. */
public final class BuiltLibrary {
    private BuiltLibrary() {}

    /** A tier's file; without one the test is skipped. */
    public static Path of(Isa isa) throws URISyntaxException {
        String resource = "/META-INF/native/linux-" + architecture(isa) + "/" + fileName(isa);
        URL library = CpuEngine.class.getResource(resource);
        return library == null ? abort("this build has no " + resource) : Path.of(library.toURI());
    }

    static String fileName(Isa isa) {
        return "libpanoptim-" + isa.id() + ".so";
    }

    /** As compilers call it. */
    static String architecture(Isa isa) {
        return isa == Isa.AARCH64 ? "aarch64" : "x86_64";
    }
}
