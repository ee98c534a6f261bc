package io.panoptim.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.panoptim.Command;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How CUDA blocks divide a chunk ({@code kernels/groups.h}), tried on the host. */
class GroupsTest {
    private static final String PROGRAM = """
            #include "groups.h"

            #include <cstdio>
            #include <random>
            #include <vector>

            using namespace panoptim;

            static int check(uint64_t address, uint32_t size, uint32_t width, uint32_t elements) {
                const uint32_t begin = phase(address, size, width);
                const uint64_t zero = address - begin * size;  // of index 0
                const Groups groups(width, begin, elements);
                const char* fault = zero % (size * width) == 0 ? nullptr : "index 0 is not on a vector boundary";
                std::vector<int> visits(elements);
                for (uint32_t i = 0; i < groups.count(); i++) {
                    const Group group = groups[i];
                    uint32_t present = 0;
                    for (uint32_t k = 0; k < width; k++) {
                        if (!group.has(k)) continue;
                        const uint32_t index = group.first + k;
                        if (index < begin || index - begin >= elements) fault = "an element outside of the chunk";
                        else visits[index - begin]++;
                        present++;
                    }
                    if (group.mask >> width) fault = "a mask wider than the group";
                    if (group.full() != (present == width)) fault = "full() does not say whether the group is";
                    if (i > 0 && i + 1 < groups.count() && !group.full()) fault = "a group of the body is partial";
                    if ((zero + group.first * size) % (size * width) != 0) fault = "a group is not aligned";
                }
                for (int visited : visits) {
                    if (visited != 1) fault = "an element is not visited exactly once";
                }
                if (fault) {
                    printf("%s: address %% 4096 = %u, size %u, width %u, %u elements\\n", fault, (uint32_t)(address % 4096), size, width,
                           elements);
                }
                return fault != nullptr;
            }

            int main() {
                int faults = 0;
                std::mt19937_64 random(1);
                for (uint32_t size = 2; size <= 8; size *= 2) {
                    for (uint32_t width = 2; width <= 8; width *= 2) {
                        // Every phase with every short length, then long ones anywhere.
                        for (uint32_t begin = 0; begin < width; begin++) {
                            for (uint32_t elements = 1; elements <= 3 * width; elements++) {
                                faults += check((1ull << 46) + begin * size, size, width, elements);
                            }
                        }
                        for (int i = 0; i < 1000; i++) {
                            faults += check((random() >> 16) * size, size, width, 1 + random() % 5000);
                        }
                    }
                }
                return faults != 0;
            }
            """;

    @Test
    void everyElementIsVisitedOnceAndTheBodyIsAligned(@TempDir Path folder) throws Exception {
        String compiler = Command.required("g++", "clang++");
        Path source = Files.writeString(folder.resolve("groups.cpp"), PROGRAM);
        String program = folder.resolve("groups").toString();
        Command compilation = Command.run(compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-I", "kernels", source.toString(),
                "-o", program);
        assertEquals(0, compilation.status(), compilation.output());
        Command run = Command.run(program);
        assertEquals("", run.output());
        assertEquals(0, run.status());
    }
}
