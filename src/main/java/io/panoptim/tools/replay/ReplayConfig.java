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
 * @param metrics what the scheduler watches
 */
public record ReplayConfig(OptimizerKind.Recipe optimizer, List<JsonKeys> groups, Optional<JsonKeys> scheduler, Metrics metrics) {
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
        if (keys.has("clip_grad_norm")) {
            throw keys.refusalOf("clip_grad_norm", "this version does not clip gradients");
        }
        Metrics metrics = Metrics.of(keys);
        keys.finish();
        return new ReplayConfig(optimizer, groups, scheduler, metrics);
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
