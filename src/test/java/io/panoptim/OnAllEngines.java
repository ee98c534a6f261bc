package io.panoptim;

import io.panoptim.engine.Engine;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** Tests that compare {@link TestEngines#all} with the reference engine. */
public abstract class OnAllEngines {
    protected static List<Engine> engines = List.of();

    @BeforeAll
    protected static void openEngines() {
        engines = TestEngines.all();
    }

    @AfterAll
    protected static void closeEngines() {
        TestEngines.close(engines);
    }
}
