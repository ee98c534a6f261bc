package io.panoptim.tools.replay;

import io.panoptim.tools.JsonKeys;
import io.panoptim.tools.OptimizerKind;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A checked configuration; whether the names in it are the trace's is not known yet.
 *
 * @param optimizer makes the optimizer
 * @param groups the parameter groups; empty for one with everything
 * @param scheduler what to attach to the optimizer
 * @param clip how gradients are clipped before each step
 * @param metrics what the scheduler watches
 */
public record ReplayConfig(OptimizerKind.Recipe optimizer, List<JsonKeys> groups, Optional<JsonKeys> scheduler, Optional<Clip> clip,
                           Metrics metrics) {
    /** The arguments of {@code torch.nn.utils.clip_grad_norm_}. */
    record Clip(double maxNorm, double normType) {
        static Clip of(JsonKeys keys) {
            Clip clip = new Clip(keys.number(MAX_NORM), keys.numberOrInf(NORM_TYPE, 2));
            if (!(clip.maxNorm >= 0) || clip.maxNorm == Double.POSITIVE_INFINITY) {
                throw keys.refusalOf(MAX_NORM, "expected a finite number that is not negative, found " + clip.maxNorm);
            }
            if (!(clip.normType > 0)) {
                throw keys.refusalOf(NORM_TYPE, "expected a number more than 0, or infinity, found " + clip.normType);
            }
            keys.finish();
            return clip;
        }
    }

    private static final String MAX_NORM = "max_norm";
    private static final String NORM_TYPE = "norm_type";

    static ReplayConfig read(Path file) {
        return read("replay", file);
    }

    /** Reads a file for a command. */
    public static ReplayConfig read(String command, Path file) {
        JsonKeys keys = JsonKeys.read(command, file);
        OptimizerKind<?, ?> kind = OptimizerKind.in(keys);
        JsonKeys defaults = keys.objectOrEmpty("defaults");
        List<JsonKeys> groups = keys.has("param_groups") ? keys.objects("param_groups") : List.of();
        if (keys.has("param_groups") && groups.isEmpty()) {
            throw keys.refusalOf("param_groups", "expected at least one group, found []");
        }
        for (JsonKeys group : groups) {
            if (group.texts("params").isEmpty()) {
                throw group.refusalOf("params", "expected at least one name, found []");
            }
        }
        // Without groups the defaults hold for everything: there is nothing left in them to override.
        OptimizerKind.Recipe optimizer = kind.recipe(defaults, groups.isEmpty() ? List.of(defaults) : groups);
        Optional<JsonKeys> scheduler = keys.has("scheduler") ? Optional.of(keys.object("scheduler")) : Optional.empty();
        Optional<Clip> clip = keys.has("clip_grad_norm") ? Optional.of(Clip.of(keys.object("clip_grad_norm"))) : Optional.empty();
        Metrics metrics = Metrics.of(keys);
        keys.finish();
        return new ReplayConfig(optimizer, groups, scheduler, clip, metrics);
    }

    /** For each group its parameters' names, which together are these, each once. */
    List<List<String>> grouped(Set<String> parameters) {
        if (groups.isEmpty()) {
            return List.of(List.copyOf(parameters));
        }
        Set<String> grouped = new HashSet<>();
        for (JsonKeys group : groups) {
            for (String name : group.texts("params")) {
                if (!parameters.contains(name)) {
                    throw group.refusalOf("params", "the trace has no 'param/" + name + "'");
                }
                if (!grouped.add(name)) {
                    throw group.refusalOf("params", "'" + name + "' is listed twice: every parameter is in exactly one group");
                }
            }
        }
        parameters.stream().filter(name -> !grouped.contains(name)).findFirst().ifPresent(name -> {
            throw groups.getLast().refusalOf("params", "neither this group nor one before lists '" + name
                    + "' of the trace: every parameter is in exactly one group");
        });
        return groups.stream().map(group -> group.texts("params")).toList();
    }
}
