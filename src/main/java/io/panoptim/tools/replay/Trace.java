package io.panoptim.tools.replay;

import io.panoptim.PanoptimException;
import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.checkpoint.TensorInfo;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.Optional;
import java.util.SequencedSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A recorded run: initial parameters and every gradient, each read from the file when it is asked for. */
final class Trace implements AutoCloseable {
    private static final String PARAM = "param/";
    private static final String NO_CLOSURES = "since it has no optimizer that evaluates a closure";
    private static final Pattern GRAD = Pattern.compile("grad/(0|[1-9][0-9]{0,8})/(.+)", Pattern.DOTALL);
    private static final Pattern EVALUATION = Pattern.compile("[0-9]+/(.+)", Pattern.DOTALL);
    private static final Pattern SPARSE = Pattern.compile("(.+)\\.(indices|values)", Pattern.DOTALL);

    private final SafeTensors file;
    private final SequencedSet<String> parameters = new LinkedHashSet<>();
    private int steps;

    private Trace(SafeTensors file) {
        this.file = file;
        file.tensors().keySet().stream().filter(key -> key.startsWith(PARAM)).forEach(key -> {
            parameters.add(key.substring(PARAM.length()));
            checkParameter(key, file.tensors().get(key));
        });
        file.tensors().forEach((key, info) -> {
            if (!key.startsWith(PARAM)) {
                steps = Math.max(steps, checkGradient(key, info) + 1);
            }
        });
        if (parameters.isEmpty() || steps == 0) {
            throw invalid("there is no '" + (parameters.isEmpty() ? "param/<name>" : "grad/<step>/<name>") + "' to replay");
        }
    }

    /** Opens a file and checks that its tensors are a run that can be replayed. */
    static Trace open(Path path) {
        SafeTensors file = SafeTensors.open(path);
        try {
            return new Trace(file);
        } catch (RuntimeException | Error refused) {
            file.close();
            throw refused;
        }
    }

    /** The parameters' names, in the order of the file. */
    SequencedSet<String> parameters() {
        return parameters;
    }

    int steps() {
        return steps;
    }

    /** The initial value of a parameter, in the mapped file. */
    Tensor initial(String parameter) {
        return file.tensor(PARAM + parameter);
    }

    /** Its gradient at a step, in the mapped file, unless it has none then. */
    Optional<Tensor> gradient(int step, String parameter) {
        String key = "grad/" + step + "/" + parameter;
        return file.tensors().containsKey(key) ? Optional.of(file.tensor(key)) : Optional.empty();
    }

    /** Unmaps the file. */
    @Override
    public void close() {
        file.close();
    }

    private void checkParameter(String key, TensorInfo info) {
        if (!info.type().dtype().map(DType::isFloatingPoint).orElse(false)) {
            throw invalid("'" + key + "' is " + info + ": expected F32, F64, BF16 or F16");
        }
    }

    /** The step of a gradient, after comparing it with its parameter. */
    private int checkGradient(String key, TensorInfo info) {
        Matcher grad = GRAD.matcher(key);
        if (!grad.matches()) {
            throw invalid("'" + key + "': " + (key.startsWith("hessian/") ? "this version replays no Hessian samples"
                    : key.startsWith("loss/") ? "this version replays no losses, " + NO_CLOSURES
                    : "expected param/<name> or grad/<step>/<name>"));
        }
        String name = grad.group(2);
        if (!parameters.contains(name)) {
            throw invalid("'" + key + "': " + withoutParameter(name));
        }
        TensorInfo parameter = file.tensors().get(PARAM + name);
        if (info.type() != parameter.type() || !info.shape().equals(parameter.shape())) {
            throw invalid("'" + key + "' is " + info + ": expected " + parameter + ", as 'param/" + name + "'");
        }
        return Integer.parseInt(grad.group(1));
    }

    private String withoutParameter(String name) {
        Matcher sparse = SPARSE.matcher(name);
        if (sparse.matches() && parameters.contains(sparse.group(1))) {
            return "this version replays no sparse gradients";
        }
        Matcher evaluation = EVALUATION.matcher(name);
        if (evaluation.matches() && parameters.contains(evaluation.group(1))) {
            return "this version replays no gradients of single evaluations, " + NO_CLOSURES;
        }
        return "'" + PARAM + name + "' is missing";
    }

    private PanoptimException invalid(String message) {
        return PanoptimException.invalid("replay", file.file() + ": " + message);
    }
}
