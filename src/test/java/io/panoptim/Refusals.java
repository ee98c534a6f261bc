package io.panoptim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import org.junit.jupiter.api.function.Executable;

/** Asserts that a call is refused. */
public final class Refusals {
    private Refusals() {}

    /** With a code, and a message that contains these words. */
    public static void refused(Code code, String words, Executable call) {
        assertEquals(code, refused(words, call).code());
    }

    /** With a message that contains these words. */
    public static PanoptimException refused(String words, Executable call) {
        PanoptimException refusal = assertThrows(PanoptimException.class, call);
        assertTrue(refusal.getMessage().contains(words), () -> "'" + words + "' is not in: " + refusal.getMessage());
        return refusal;
    }
}
