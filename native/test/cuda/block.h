// Runs a kernel on the host, block after block: a block's threads are fibers that take turns where they wait for each other.
#pragma once
#include <stdint.h>

#include <string>

namespace panoptim_cuda {

constexpr int WARP = 32;
constexpr unsigned MAX_THREADS = 1024;

struct Size {
    unsigned x, y, z;
    uint64_t count() const { return (uint64_t)x * y * z; }
};

// Runs all blocks; backwards: the last block, warp and lane first, which no kernel may notice. Returns what went wrong, or nothing.
std::string run(void (*kernel)(void** parameters), void** parameters, Size grid, Size block, bool backwards);

// From within a kernel:

// Until all threads of the block are here.
void wait_for_block();
// Until all lanes of the mask are here; what each has given, until the next exchange.
const uint64_t* exchange(unsigned mask, uint64_t given);
// The number of this thread in its warp.
int lane();
// Ends the kernel.
[[noreturn]] void fault(const char* what);

}  // namespace panoptim_cuda
