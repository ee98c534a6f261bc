package io.panoptim.tools.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A library of the JVM, in a JVM of its own: a module of {@code bench/peers}, whose class path its build writes.
 *
 * @param name of the module
 * @param rules what the library has
 */
record JvmPeer(String name, String mainClass, Set<Workload.Rule> rules) implements ContenderProvider {
    /** Where the launcher lies. */
    private static final String HOME = "panoptim.home";

    private Path target() {
        return Path.of(System.getProperty(HOME, ""), "bench", "peers", name, "target");
    }

    @Override
    public Optional<String> unavailable(Setting setting) {
        return Files.isReadable(target().resolve("classpath")) ? Optional.empty()
                : Optional.of("there is no " + target().resolve("classpath") + ": build it with ./mvnw install -DskipTests && "
                        + "./mvnw -f bench/peers/pom.xml package, which downloads some 400 MB for all of them");
    }

    @Override
    public boolean supports(Workload workload) {
        return rules.contains(workload.rule()) && !workload.extent().isWhole();
    }

    @Override
    public Contender open(Workload workload, Setting setting) {
        try {
            String classpath = String.join(":", target().resolve("classes").toString(), Files.readString(target().resolve("classpath")).strip(),
                    System.getProperty("java.class.path"));
            String threads = Integer.toString(setting.threads());
            return new PeerProcess(List.of("env", "OMP_NUM_THREADS=" + threads, Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow", "-cp", classpath, mainClass), workload, setting, "");
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
