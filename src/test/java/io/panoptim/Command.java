package io.panoptim;

import static org.junit.jupiter.api.Assumptions.abort;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What a program that a test ran has said.
 *
 * @param status its exit status
 * @param output what it wrote, errors included
 */
public record Command(int status, String output) {
    public static Command run(String... command) throws IOException, InterruptedException {
        return run(Map.of(), List.of(command));
    }

    /** Runs a program in the repository's root, with these environment variables besides this process's. */
    public static Command run(Map<String, String> environment, List<String> command) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        Process process = builder.start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes());
        return new Command(process.waitFor(), output);
    }

    /** The first of these programs that there is, by its path or its name on PATH; without any the test is skipped. */
    public static String required(String... names) {
        return Arrays.stream(names).flatMap(name -> find(name).stream()).findFirst().map(Path::toString)
                .orElseGet(() -> abort("no " + String.join(" or ", names) + " on PATH"));
    }

    /** The {@code java} that runs this test. */
    public static String java() {
        return Path.of(System.getProperty("java.home"), "bin", "java").toString();
    }

    private static Optional<Path> find(String name) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(folder -> Path.of(folder).resolve(name))
                .filter(Files::isExecutable).findFirst();
    }
}
