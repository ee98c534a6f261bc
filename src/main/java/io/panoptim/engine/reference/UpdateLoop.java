package io.panoptim.engine.reference;

import io.panoptim.engine.Rule;

/** A rule's loop over the elements of a tensor: the only place outside {@code kernels/rule/} where a rule is written. */
interface UpdateLoop {
    void run(Arithmetic arithmetic, Scalars scalars, Elements elements);

    static UpdateLoop of(Rule rule) {
        return switch (rule) {
            case SGD -> new SgdLoop();
            case ADAM -> new AdamLoop();
            case ADAMAX -> new AdamaxLoop();
            case NADAM -> new NadamLoop();
            case RADAM -> new RadamLoop();
            case ADAGRAD -> new AdagradLoop();
            case ADADELTA -> new AdadeltaLoop();
            case RMSPROP -> new RmspropLoop();
            case RPROP -> new RpropLoop();
            case ASGD -> new AsgdLoop();
            case LAMB -> new LambLoop();
        };
    }
}
