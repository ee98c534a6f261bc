// The device's memory: the host's, of which every allocation is known.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <string>

namespace panoptim_cuda {

struct Allocation {
    uint64_t address;
    size_t size;
    bool pinned;   // host memory that the device may access
    bool adopted;  // a module's variable
    uint64_t id;
};

// Null where there is no room.
uint64_t allocate(size_t size, bool pinned);
// Whether there was such an allocation. What was in it is overwritten, and its address not soon used again.
bool release(uint64_t address, bool pinned);
// Makes a variable device memory.
void adopt(void* address, size_t size);
void release_all();
// The allocation in which an address lies, or null.
const Allocation* find(uint64_t address);
// Whether all of a range lies in one allocation.
bool live(uint64_t address, uint64_t size);
// What was written just before or after an allocation, or nothing.
std::string check_guards();

size_t allocated_bytes();
size_t allocation_count(bool pinned);

}  // namespace panoptim_cuda
