package io.panoptim.optim;

import io.panoptim.PanoptimException;
import io.panoptim.engine.Rule;
import io.panoptim.engine.StateCode;
import io.panoptim.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * In how many bits a {@link FusedOptimizer} keeps what it works on: set with {@link FusedOptimizer#storage(Storage)} before its first
 * step. Every scheme computes in float32 and gives the same bits on every engine, for any number of threads and any slices.
 *
 * <p>What is kept is part of the state dictionary, bit for bit, under these keys: {@code master} (float32), {@code remainder} (int16) or
 * {@code compensation}; for a quantised state its codes (uint8, of the parameter's shape, or two in a byte) under the state's own key, its scales under
 * {@code <key>_scale}, and the group's {@code state_format}; the group's {@code rounding_step}. {@link FusedOptimizer#state} shows the
 * same tensors; {@link StateCode#dequantize} makes numbers of codes. States that were saved in another type or code, torch's
 * among them, are converted when they are loaded; masters and the like begin as the value where there are none.
 *
 * <p>bitsandbytes' 8-bit states are those of {@link States#DYNAMIC8} for row-major parameters, both ways: {@code state1} and {@code state2}
 * are the codes of {@code exp_avg} and {@code exp_avg_sq}, {@code absmax1} and {@code absmax2} their scales. Likewise {@code codes} and
 * {@code scale} of torchao's states, with scales of type float32, are those of {@link States#FLOAT8} and {@link States#DYNAMIC4}.
 *
 * @param values how values of half types are kept; others are kept as they are
 * @param states how states are kept
 * @param scales the type of quantised states' scales: float32 or bfloat16
 * @param minElements tensors with fewer elements keep states that are not quantised, as bitsandbytes has it
 * @param seed of stochastic rounding
 * @param flushSubnormal whether states below the smallest normal number are stored as zeros: states of parameters whose gradients have
 *     become zero otherwise decay into subnormal numbers, stay there for good, and slow many processors down several times
 */
public record Storage(Values values, States states, DType scales, long minElements, long seed, boolean flushSubnormal) {
    /** How values of half types are kept. */
    public enum Values {
        /** Rounded to nearest even after every step, as torch does: what is less than half an ulp is lost. */
        PLAIN,
        /** Beside a float32 copy, 4 bytes a parameter more, of which they are the rounded form. */
        MASTER,
        /**
         * Beside the 16 bits that a bfloat16 value lacks of its float32 master, 2 bytes more: as exact as a master. The value is the
         * master rounded halves away from zero, as TransformerEngine and apex have it, not to nearest even.
         */
        REMAINDER,
        /**
         * Beside what rounding has lost, in the value's own type, 2 bytes more. The rule sees value + compensation; afterwards the value is
         * what it computes, rounded, and the compensation what that lacks, rounded. optimi instead adds the compensation to each update, in
         * the value's arithmetic, so that weight decay does not see it. Together they have about 16 bits: smaller updates are lost.
         */
        KAHAN,
        /**
         * Alone, and bfloat16 values rounded up or down at random, more often to the nearer one: right on average. The noise is a function
         * of the seed, the number of steps taken, the parameter's place among the optimizer's and the element's in the parameter.
         */
        STOCHASTIC;

        /** Whether there is more of a value than itself. */
        public boolean hasMore() {
            return this == MASTER || this == REMAINDER || this == KAHAN;
        }
    }

    /** How states are kept. Quantised are those that {@code kernels/rules.txt} marks, of rules that take no sums over rows. */
    public enum States {
        /** In the value's type, as torch does; in float32 where a value has a master or a remainder. */
        SAME,
        FLOAT32,
        BFLOAT16,
        FLOAT16,
        /** In bitsandbytes' dynamic 8-bit code: {@link StateCode#DYNAMIC_SIGNED} and {@link StateCode#DYNAMIC_UNSIGNED}. */
        DYNAMIC8,
        /** In a code several times faster: {@link StateCode#COMPANDED_SIGNED} and {@link StateCode#COMPANDED_UNSIGNED}. */
        COMPANDED8,
        /** As FP8 e4m3, in torchao's format: {@link StateCode#FLOAT8_SIGNED} and {@link StateCode#FLOAT8_UNSIGNED}. */
        FLOAT8,
        /** In 4 bits, in torchao's format: {@link StateCode#DYNAMIC4_SIGNED} and {@link StateCode#LINEAR4_UNSIGNED}. */
        DYNAMIC4;

        /** Whether there is a code for each element and a scale for each {@link StateCode#block} of them. */
        public boolean isQuantized() {
            return this == DYNAMIC8 || this == COMPANDED8 || this == FLOAT8 || this == DYNAMIC4;
        }

        /** The code of one of a rule's states, or null. */
        public @Nullable StateCode code(Rule rule, int slot) {
            if (!rule.isQuantizable(slot)) {
                return null;
            }
            return switch (this) {
                case DYNAMIC8 -> rule.isUnsigned(slot) ? StateCode.DYNAMIC_UNSIGNED : StateCode.DYNAMIC_SIGNED;
                case COMPANDED8 -> rule.isUnsigned(slot) ? StateCode.COMPANDED_UNSIGNED : StateCode.COMPANDED_SIGNED;
                case DYNAMIC4 -> rule.isUnsigned(slot) ? StateCode.LINEAR4_UNSIGNED : StateCode.DYNAMIC4_SIGNED;
                case FLOAT8 -> rule.isUnsigned(slot) ? StateCode.FLOAT8_UNSIGNED : StateCode.FLOAT8_SIGNED;
                default -> null;
            };
        }
    }

    private static final Storage DEFAULTS = new Storage(Values.PLAIN, States.SAME, DType.FLOAT32, 4096, 0, false);

    /** Refuses what makes no sense. */
    public Storage {
        Check.check(scales == DType.FLOAT32 || scales == DType.BFLOAT16, "Storage", "scales are float32 or bfloat16, not " + scales);
        Check.check(minElements >= 0, "Storage", "a least number of elements cannot be " + minElements);
    }

    /** What torch does. */
    public static Storage defaults() {
        return DEFAULTS;
    }

    public Storage withValues(Values newValues) {
        return new Storage(newValues, states, scales, minElements, seed, flushSubnormal);
    }

    public Storage withStates(States newStates) {
        return new Storage(values, newStates, scales, minElements, seed, flushSubnormal);
    }

    public Storage withScales(DType newScales) {
        return new Storage(values, states, newScales, minElements, seed, flushSubnormal);
    }

    public Storage withMinElements(long newMinElements) {
        return new Storage(values, states, scales, newMinElements, seed, flushSubnormal);
    }

    public Storage withSeed(long newSeed) {
        return new Storage(values, states, scales, minElements, newSeed, flushSubnormal);
    }

    public Storage withFlushSubnormal(boolean newFlushSubnormal) {
        return new Storage(values, states, scales, minElements, seed, newFlushSubnormal);
    }

    /** Refuses a parameter whose type does not go with it. */
    void check(String optimizer, String parameter, DType value) {
        boolean half = value == DType.BFLOAT16 || value == DType.FLOAT16;
        if (half && value != DType.BFLOAT16 && (values == Values.REMAINDER || values == Values.STOCHASTIC)) {
            throw refusal(optimizer, parameter, value, values + " is for values of type bfloat16: use MASTER or KAHAN");
        }
        if (value == DType.FLOAT64 && states != States.SAME) {
            throw refusal(optimizer, parameter, value, "its states cannot be " + states + ": use SAME");
        }
    }

    private static PanoptimException refusal(String optimizer, String parameter, DType value, String message) {
        return PanoptimException.unsupported(optimizer + ".storage", "'" + parameter + "' is " + value + ": " + message);
    }

    /** The type of a state that is not quantised. */
    DType stateType(DType value) {
        return switch (states) {
            case FLOAT32 -> DType.FLOAT32;
            case BFLOAT16 -> DType.BFLOAT16;
            case FLOAT16 -> DType.FLOAT16;
            default -> values == Values.MASTER || values == Values.REMAINDER ? value.computeType() : value;
        };
    }

    /** What stochastic rounding starts from after a number of steps. */
    long noise(long steps) {
        return mix(mix(seed) + steps);
    }

    /** SplitMix64's step. */
    private static long mix(long x) {
        long z = x + 0x9e3779b97f4a7c15L;
        z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
        z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
        return z ^ z >>> 31;
    }
}
