package io.panoptim.tools.bench;

import java.util.Optional;

/** Makes contenders of one kind. */
interface ContenderProvider {
    /** By which {@code --compare} names it. */
    String name();

    /** Why it cannot be had here, and what to do; empty if it can. */
    Optional<String> unavailable(Setting setting);

    /** Whether it has what a workload asks for. */
    boolean supports(Workload workload);

    /** A new one, whose tensors are filled. */
    Contender open(Workload workload, Setting setting);
}
