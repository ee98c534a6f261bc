package io.panoptim.tools;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.engine.EngineProvider;
import io.panoptim.engine.Engines;
import io.panoptim.engine.Rule;
import io.panoptim.engine.cpu.Isa;
import io.panoptim.engine.cuda.CudaDriver;
import org.junit.jupiter.api.Test;

class InfoCommandTest {
    @Test
    void everythingIsThereOrTheReasonWhyNot() {
        Tool tool = Tool.run("info");
        assertEquals(0, tool.status(), tool.err());
        for (EngineProvider engine : Engines.providers()) {
            assertContains(tool, engine.name());
            assertContains(tool, engine.unavailable().map(reason -> "not available:")
                    .orElseGet(() -> Engines.named(engine.name()).description()));
        }
        Isa.ofArchitecture().forEach(isa -> assertContains(tool, isa.id()));
        assertContains(tool, Rule.HASH);
        assertContains(tool, "JCuda       12.");
        assertContains(tool, CudaDriver.unavailable().map(reason -> "driver      not available: " + reason)
                .orElseGet(() -> "driver      CUDA " + CudaDriver.version()));
    }

    private static void assertContains(Tool tool, String text) {
        assertTrue(tool.out().contains(text), () -> text + " in " + tool.out());
    }
}
