import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Builds the C++ engine and the CUDA kernels with CMake: {@code java native/Build.java <target> [sanitize]}, from the repository's root;
 * or, for tests, a CUDA driver that runs these kernels on the host: {@code java native/Build.java <target> release|sanitize tests}.
 *
 * <p>What cannot be built for want of a tool is said and left out: the Java reference engine serves without any of it.
 * What is there and does not compile fails the build.
 */
final class Build {
    private final Path target;
    /** The options common to all CMake builds. */
    private final List<String> common = new ArrayList<>();

    private Build(Path target) {
        this.target = target;
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        Path target = Path.of(args[0]).toAbsolutePath();
        Files.createDirectories(target);
        // The launcher cannot see which JDK Maven chose.
        Files.writeString(target.resolve("jdk.home"), System.getProperty("java.home") + "\n");
        boolean sanitize = args.length > 1 && args[1].equals("sanitize");
        boolean tests = args.length > 2 && args[2].equals("tests");
        new Build(target).run(sanitize, tests);
    }

    private void run(boolean sanitize, boolean tests) throws IOException, InterruptedException {
        Optional<Path> cmake = find("cmake");
        Optional<Path> compiler = compiler();
        Optional<Path> ninja = find("ninja");
        List<String> missing = new ArrayList<>();
        if (!System.getProperty("os.name").equals("Linux")) missing.add("Linux");
        if (cmake.isEmpty()) missing.add("cmake");
        if (compiler.isEmpty()) missing.add("a C++ compiler (" + (System.getenv("CXX") == null ? "g++ or clang++" : "CXX=" + System.getenv("CXX")) + ")");
        if (ninja.isEmpty() && find("make").isEmpty()) missing.add("make or ninja");
        if (!missing.isEmpty()) {
            String message = "Missing: " + String.join(", ", missing) + ". So the CPU engine and the CUDA kernels are not built, and only the Java"
                    + " reference engine (same results, far slower) is there. To have them: apt install cmake g++ make, or the like, and build again.";
            if (sanitize) fail(message); // there is nothing to sanitize
            if (!tests) say(message); // once is enough
            return;
        }
        common.addAll(List.of(cmake.get().toString(), "-S", tests ? "native/test/cuda" : "native", "-G", ninja.isPresent() ? "Ninja" : "Unix Makefiles",
                "-DCMAKE_BUILD_TYPE=Release", "-DPANOPTIM_GENERATED_INCLUDE=" + target.resolve("generated-include")));

        if (tests) {
            make("cuda-shim" + (sanitize ? "-sanitize" : ""), "-DCMAKE_CXX_COMPILER=" + compiler.get(),
                    "-DPANOPTIM_SANITIZE=" + (sanitize ? "ON" : "OFF"));
            return;
        }
        String arch = System.getProperty("os.arch").equals("amd64") ? "x86_64" : System.getProperty("os.arch");
        if (sanitize) {
            build("native-sanitize", "linux-" + arch, "-DCMAKE_CXX_COMPILER=" + compiler.get(), "-DPANOPTIM_SANITIZE=ON");
            linkSanitizer(compiler.get());
            return;
        }

        List<String> options = new ArrayList<>(List.of("-DCMAKE_CXX_COMPILER=" + compiler.get(), "-DPANOPTIM_SANITIZE=OFF"));
        Optional<Path> nvcc = nvcc();
        if (nvcc.isPresent()) {
            options.addAll(List.of("-DCMAKE_CUDA_COMPILER=" + nvcc.get(), "-DPANOPTIM_CUDA_OUTPUT=" + target.resolve("native/out/cuda")));
        } else {
            say("Missing: nvcc (on PATH, in $CUDA_HOME/bin or /usr/local/cuda/bin). So the CUDA kernels are left out; the CPU engine is built."
                    + " To have them: install the CUDA toolkit, 12 or newer, and build again.");
        }
        build("native", "linux-" + arch, options.toArray(String[]::new));

        Optional<Path> cross = find("aarch64-linux-gnu-g++");
        if (arch.equals("x86_64") && cross.isPresent()) {
            build("native-aarch64", "linux-aarch64", "-DCMAKE_CXX_COMPILER=" + cross.get(),
                    "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DPANOPTIM_SANITIZE=OFF");
        }
    }

    /** Builds, and publishes the result among the resources. */
    private void build(String name, String platform, String... options) throws IOException, InterruptedException {
        Path folder = make(name, options);
        Path resources = target.resolve("classes/META-INF");
        publish(folder.resolve("out/native"), resources.resolve("native").resolve(platform));
        publish(folder.resolve("out/cuda"), resources.resolve("cuda"));
    }

    /**
     * Configures where the options have changed, and builds into the folder's {@code out/native} and {@code out/cuda}.
     * Each build writes into a folder of its own: were it one folder, a build after a sanitized one would find its output newer than its
     * sources, and leave the sanitized library there.
     */
    private Path make(String name, String... options) throws IOException, InterruptedException {
        Path folder = target.resolve(name);
        Files.createDirectories(folder.resolve("out/native"));
        Files.createDirectories(folder.resolve("out/cuda"));
        List<String> configure = new ArrayList<>(common);
        configure.addAll(List.of("-B", folder.toString(), "-DPANOPTIM_OUTPUT=" + folder.resolve("out/native")));
        configure.addAll(List.of(options));

        Path configured = folder.resolve("configured");
        String line = String.join(" ", configure);
        if (!Files.exists(configured) || !Files.readString(configured).equals(line)) {
            Files.deleteIfExists(folder.resolve("CMakeCache.txt")); // CMake takes no other compiler where it knows one
            call(folder, configure);
            Files.writeString(configured, line);
        }
        call(folder, List.of(configure.get(0), "--build", folder.toString(), "--parallel", "2"));
        return folder;
    }

    /** Copies the files of a folder, at any depth, that differ. */
    private static void publish(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Path copy = to.resolve(from.relativize(file));
                if (!Files.exists(copy) || Files.mismatch(file, copy) >= 0) {
                    Files.createDirectories(copy.getParent());
                    // Replaced, not overwritten: a running JVM may have it mapped.
                    Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
                }
            }
        }
    }

    /** A fixed path for what pom.xml preloads. */
    private void linkSanitizer(Path compiler) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(compiler.toString(), "-print-file-name=libasan.so").start();
        String library = new String(process.getInputStream().readAllBytes()).strip();
        if (process.waitFor() != 0 || !Path.of(library).isAbsolute()) {
            fail(compiler + " has no libasan.so to preload: build with g++, and install libasan.");
        }
        Path link = target.resolve("native-sanitize/libasan.so");
        Files.deleteIfExists(link);
        Files.createSymbolicLink(link, Path.of(library));
    }

    /** Runs a command; its output is shown when it fails. */
    private static void call(Path folder, List<String> command) throws IOException, InterruptedException {
        Path log = folder.resolve("build.log");
        int status = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start().waitFor();
        if (status != 0) {
            Files.copy(log, System.err);
            fail("This failed with status " + status + " (output above): " + String.join(" ", command));
        }
    }

    private static Optional<Path> compiler() {
        String chosen = System.getenv("CXX");
        return chosen != null ? find(chosen) : find("g++").or(() -> find("clang++"));
    }

    private static Optional<Path> nvcc() {
        return find("nvcc")
                .or(() -> Optional.ofNullable(System.getenv("CUDA_HOME")).flatMap(home -> find(home + "/bin/nvcc")))
                .or(() -> find("/usr/local/cuda/bin/nvcc"));
    }

    /** An executable by its path, or by its name on PATH. */
    private static Optional<Path> find(String name) {
        return Stream.of(System.getenv("PATH").split(File.pathSeparator))
                .map(folder -> Path.of(folder).resolve(name).toAbsolutePath())
                .filter(Files::isExecutable)
                .findFirst();
    }

    private static void say(String message) {
        System.out.println("[native] " + message);
    }

    private static void fail(String message) {
        System.err.println("[native] " + message);
        System.exit(1);
    }
}
