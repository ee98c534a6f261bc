package io.panoptim.tools.replay;

import io.panoptim.PanoptimException;
import io.panoptim.checkpoint.SafeTensors;
import io.panoptim.checkpoint.StoredType;
import io.panoptim.checkpoint.TensorInfo;
import io.panoptim.optim.Optimizer;
import io.panoptim.optim.SophiaG;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.SparseGradient;
import io.panoptim.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SequencedSet;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A recorded run: initial parameters, every gradient and every sample of the Hessian, each read from the file when it is asked for.
 * Gradients are those of a step or, where an optimizer evaluates a closure, of the step's evaluations, each of which has a loss.
 */
final class Trace implements AutoCloseable {
    private static final String PARAM = "param/";
    private static final String LOSS = "loss/";
    private static final String NUMBER = "(0|[1-9][0-9]{0,8})/";
    private static final Pattern GRAD = Pattern.compile("(grad|hessian)/" + NUMBER + "(.+)", Pattern.DOTALL);
    private static final Pattern EVALUATION = Pattern.compile(NUMBER + "(.+)", Pattern.DOTALL);
    private static final String INDICES = ".indices";
    private static final String VALUES = ".values";
    private static final Pattern SPARSE = Pattern.compile("(.+)\\.(indices|values)", Pattern.DOTALL);

    private final SafeTensors file;
    private final SequencedSet<String> parameters = new LinkedHashSet<>();
    private final Set<String> dense = new HashSet<>();
    /** For each parameter that has sparse gradients how many indices the longest has. */
    private final Map<String, Long> sparse = new HashMap<>();
    /** For each step how often its closure was evaluated, if it has one. */
    private final Map<Integer, Integer> evaluations = new HashMap<>();
    private int steps;

    private Trace(SafeTensors file) {
        this.file = file;
        file.tensors().keySet().stream().filter(key -> key.startsWith(PARAM)).forEach(key -> {
            parameters.add(key.substring(PARAM.length()));
            checkParameter(key, file.tensors().get(key));
        });
        file.tensors().forEach((key, info) -> {
            if (key.startsWith(LOSS)) {
                checkLoss(key, info);
            }
        });
        file.tensors().forEach((key, info) -> {
            if (!key.startsWith(PARAM) && !key.startsWith(LOSS)) {
                steps = Math.max(steps, checkGradient(key, info) + 1);
            }
        });
        checkEvaluations();
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

    /** Whether the run had closures. */
    boolean hasClosures() {
        return !evaluations.isEmpty();
    }

    /** How often the closure of a step was evaluated. */
    int evaluations(int step) {
        return evaluations.get(step);
    }

    /** The loss of an evaluation. */
    double loss(int step, int evaluation) {
        return file.tensor(LOSS + at(step, evaluation)).get(0);
    }

    /** When a gradient is that of a step. */
    static String at(int step) {
        return "" + step;
    }

    /** When a gradient is that of an evaluation. */
    static String at(int step, int evaluation) {
        return step + "/" + evaluation;
    }

    /** Its dense gradient at some time, in the mapped file, unless it has none then. */
    Optional<Tensor> gradient(String time, String parameter) {
        return optional(key(time, parameter));
    }

    /** Its sparse gradient at some time, in the mapped file, unless it has none then. */
    Optional<SparseGradient> sparseGradient(String time, String parameter) {
        String key = key(time, parameter);
        if (!file.tensors().containsKey(key + INDICES)) {
            return Optional.empty();
        }
        Tensor indices = file.tensor(key + INDICES);
        return Optional.of(new SparseGradient(Tensor.of(indices.segment(), indices.dtype(), indices.elements()),
                file.tensor(key + VALUES)));
    }

    /** Whether it ever has a dense gradient. */
    boolean hasDense(String parameter) {
        return dense.contains(parameter);
    }

    /** How many indices the longest of its sparse gradients has, if it has any. */
    OptionalLong longestSparse(String parameter) {
        return sparse.containsKey(parameter) ? OptionalLong.of(sparse.get(parameter)) : OptionalLong.empty();
    }

    private static String key(String time, String parameter) {
        return "grad/" + time + "/" + parameter;
    }

    /** The sample of its Hessian after a step, in the mapped file, if there is one. */
    Optional<Tensor> sample(int step, String parameter) {
        return optional("hessian/" + step + "/" + parameter);
    }

    private Optional<Tensor> optional(String key) {
        return file.tensors().containsKey(key) ? Optional.of(file.tensor(key)) : Optional.empty();
    }

    /** Refuses samples of the Hessian for an optimizer that does not take them. */
    void checkSamples(Optimizer optimizer) {
        file.tensors().keySet().stream().filter(key -> key.startsWith("hessian/") && !(optimizer instanceof SophiaG)).findFirst()
                .ifPresent(key -> {
                    throw invalid("'" + key + "': " + optimizer.name() + " takes no samples of the Hessian, SophiaG does");
                });
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

    /** The step of a gradient or a sample, after comparing it with its parameter. */
    private int checkGradient(String key, TensorInfo info) {
        Matcher grad = GRAD.matcher(key);
        if (!grad.matches()) {
            throw invalid("'" + key + "': expected param/<name>, grad/<step>/<name> or hessian/<step>/<name>");
        }
        boolean isGradient = grad.group(1).equals("grad");
        String time = grad.group(2);
        String name = grad.group(3);
        Matcher evaluation = EVALUATION.matcher(name);
        if (isGradient && !isOfParameter(name) && evaluation.matches() && isOfParameter(evaluation.group(2))) {
            time += "/" + evaluation.group(1);
            name = evaluation.group(2);
            if (!file.tensors().containsKey(LOSS + time)) {
                throw invalid("'" + key + "': '" + LOSS + time + "' is missing");
            }
        } else if (isGradient && hasClosures()) {
            throw invalid("'" + key + "': there are losses: expected grad/<step>/<evaluation>/<name>, with the name of a parameter");
        }
        Matcher part = SPARSE.matcher(name);
        if (parameters.contains(name)) {
            TensorInfo parameter = file.tensors().get(PARAM + name);
            if (info.type() != parameter.type() || !info.shape().equals(parameter.shape())) {
                throw invalid("'" + key + "' is " + info + ": expected " + parameter + ", as 'param/" + name + "'");
            }
            dense.add(name);
        } else if (isGradient && part.matches() && parameters.contains(part.group(1))) {
            checkSparse(key(time, part.group(1)), part.group(1));
        } else {
            throw invalid("'" + key + "': '" + PARAM + name + "' is missing");
        }
        return Integer.parseInt(grad.group(2));
    }

    /** Compares both parts of a sparse gradient with its parameter and with each other. */
    private void checkSparse(String key, String name) {
        TensorInfo indices = part(key + INDICES, key + VALUES);
        TensorInfo values = part(key + VALUES, key + INDICES);
        if (file.tensors().containsKey(key)) {
            throw invalid("'" + key + "': there is a sparse gradient for the same step, '" + key + INDICES + "'");
        }
        TensorInfo parameter = file.tensors().get(PARAM + name);
        if (parameter.shape().isEmpty()) {
            throw invalid("'" + key + INDICES + "': 'param/" + name + "' is " + parameter + ", which has no rows");
        }
        if (indices.type() != StoredType.I64 || !indices.shape().equals(List.of(indices.elements()))
                && !indices.shape().equals(List.of(1L, indices.elements()))) {
            throw invalid("'" + key + INDICES + "' is " + indices + ": expected I64[n] or I64[1, n]");
        }
        List<Long> rows = new ArrayList<>(parameter.shape());
        rows.set(0, indices.elements());
        if (values.type() != parameter.type() || !values.shape().equals(rows)) {
            throw invalid("'" + key + VALUES + "' is " + values + ": expected " + parameter.type() + rows + ", a row of 'param/" + name
                    + "' for each of '" + key + INDICES + "'");
        }
        sparse.merge(name, indices.elements(), Math::max);
    }

    private TensorInfo part(String key, String other) {
        TensorInfo info = file.tensors().get(key);
        if (info == null) {
            throw invalid("'" + other + "': '" + key + "' is missing");
        }
        return info;
    }

    private boolean isOfParameter(String name) {
        Matcher part = SPARSE.matcher(name);
        return parameters.contains(name) || part.matches() && parameters.contains(part.group(1));
    }

    private void checkLoss(String key, TensorInfo info) {
        Matcher loss = Pattern.compile(LOSS + NUMBER + NUMBER).matcher(key + "/");
        if (!loss.matches()) {
            throw invalid("'" + key + "': expected loss/<step>/<evaluation>");
        }
        if (info.elements() != 1 || !info.type().dtype().map(DType::isFloatingPoint).orElse(false)) {
            throw invalid("'" + key + "' is " + info + ": expected one value of F32, F64, BF16 or F16");
        }
        int step = Integer.parseInt(loss.group(1));
        evaluations.merge(step, Integer.parseInt(loss.group(2)) + 1, Math::max);
        steps = Math.max(steps, step + 1);
    }

    /** No step and no evaluation may be left out. */
    private void checkEvaluations() {
        for (int step = 0; hasClosures() && step < steps; step++) {
            for (int evaluation = 0; evaluation < evaluations.getOrDefault(step, 1); evaluation++) {
                if (!file.tensors().containsKey(LOSS + at(step, evaluation))) {
                    throw invalid("'" + LOSS + at(step, evaluation) + "' is missing: expected the losses of all evaluations, from "
                            + "loss/0/0 on");
                }
            }
        }
    }

    private PanoptimException invalid(String message) {
        return PanoptimException.invalid("replay", file.file() + ": " + message);
    }
}
