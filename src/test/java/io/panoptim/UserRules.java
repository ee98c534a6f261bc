package io.panoptim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Compiles rules of a user's own by the README's command. */
public final class UserRules {
    private static final Pattern COMMAND = Pattern.compile("    (g\\+\\+ .*)-include tiger.h kernels/user_rule.cpp -o libtiger.so\n");

    private UserRules() {}

    /** The library of a header; without a compiler the test is skipped. */
    public static Path compile(Path header, Path library, String... moreFlags) throws IOException, InterruptedException {
        Files.createDirectories(library.toAbsolutePath().getParent());
        Command command = tryToCompile(header, library, moreFlags);
        assertEquals(0, command.status(), command.output());
        return library;
    }

    /** What the compiler says of a header. */
    public static Command tryToCompile(Path header, Path library, String... moreFlags) throws IOException, InterruptedException {
        Matcher readme = COMMAND.matcher(Files.readString(Path.of("README.md")));
        assertEquals(true, readme.find(), "the README has no command");
        List<String> command = new ArrayList<>(List.of(readme.group(1).split(" ")));
        command.set(0, Command.required("g++"));
        command.addAll(List.of(moreFlags));
        command.addAll(List.of("-Wall", "-Wextra", "-Werror", "-include", header.toString(), "kernels/user_rule.cpp", "-o",
                library.toString()));
        return Command.run(Map.of("LD_PRELOAD", ""), command); // a sanitizer is for this process
    }
}
