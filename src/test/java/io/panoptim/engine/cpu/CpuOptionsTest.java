package io.panoptim.engine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.panoptim.PanoptimException.Code;
import io.panoptim.PanoptimException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

class CpuOptionsTest {
    @ParameterizedTest
    @CsvSource(textBlock = """
            1,      1
            ' 12 ', 12
            1024,   1024
            """)
    void theNumberOfThreadsIsRead(String variable, int threads) {
        assertEquals(threads, CpuOptions.of(null, variable).threads());
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(strings = {"", " "})
    void withoutANumberAsManyThreadsAreUsedAsProcessorsMayBe(String none) {
        assertEquals(Runtime.getRuntime().availableProcessors(), CpuOptions.of(null, none).threads());
    }

    @ParameterizedTest
    @CsvSource(textBlock = """
            two,         PANOPTIM_NUM_THREADS: 'two' is not a number of threads
            1.5,         PANOPTIM_NUM_THREADS: '1.5' is not a number of threads
            99999999999, PANOPTIM_NUM_THREADS: '99999999999' is not a number of threads
            0,           CpuOptions: 0 threads: between 1 and 1024 are possible
            -1,          CpuOptions: -1 threads: between 1 and 1024 are possible
            1025,        CpuOptions: 1025 threads: between 1 and 1024 are possible
            """)
    void anImpossibleNumberOfThreadsIsRefused(String variable, String message) {
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> CpuOptions.of(null, variable));
        assertEquals(Code.INVALID, refusal.code());
        assertEquals(message, refusal.getMessage());
    }

    @ParameterizedTest
    @ValueSource(ints = {Integer.MIN_VALUE, 0, 512, 1025})
    void chunksThatAreNotWholeLeavesAreRefused(int elements) {
        CpuOptions options = CpuOptions.of(null, "1");
        PanoptimException refusal = assertThrows(PanoptimException.class, () -> options.withChunkElements(elements));
        assertEquals(Code.INVALID, refusal.code());
        assertTrue(refusal.getMessage().contains("a multiple of 1024"), refusal.getMessage());
    }

    @Test
    void oneOptionIsChangedAtATime() {
        CpuOptions options = CpuOptions.of(null, "3");
        assertEquals(new CpuOptions(options.isas(), 5, options.chunkElements()), options.withThreads(5));
        assertEquals(new CpuOptions(options.isas(), 3, 2048), options.withChunkElements(2048));
        assertEquals(new CpuOptions(List.of(Isa.AARCH64), 3, options.chunkElements()), options.withIsa(Isa.AARCH64));
    }
}
