#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include <deque>
#include <map>

namespace panoptim_cuda {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t GUARD = 0;  // the sanitizer guards and keeps what is freed
constexpr size_t KEPT = 0;
#else
constexpr size_t GUARD = 256;
constexpr size_t KEPT = 64 << 20;  // bytes that were freed and are not given out again yet
#endif
constexpr size_t ALIGNMENT = 256;
constexpr int GUARDING = 0xa5, FRESH = 0xcb, FREED = 0xdb;

std::map<uint64_t, Allocation> allocations;
std::deque<Allocation> freed;
size_t freed_bytes = 0;
size_t live_bytes = 0;
uint64_t next_id = 1;

char* block_of(const Allocation& allocation) { return (char*)allocation.address - GUARD; }

bool guarded(const char* at) {
    for (size_t i = 0; i < GUARD; i++) {
        if (at[i] != (char)GUARDING) return false;
    }
    return true;
}

}  // namespace

uint64_t allocate(size_t size, bool pinned) {
    void* block = nullptr;
    if (size > SIZE_MAX - 2 * GUARD || posix_memalign(&block, ALIGNMENT, size + 2 * GUARD) != 0) return 0;
    memset(block, GUARDING, GUARD);
    memset((char*)block + GUARD, FRESH, size);
    memset((char*)block + GUARD + size, GUARDING, GUARD);
    const uint64_t address = (uint64_t)block + GUARD;
    allocations[address] = {address, size, pinned, false, next_id++};
    if (!pinned) live_bytes += size;
    return address;
}

void adopt(void* address, size_t size) { allocations[(uint64_t)address] = {(uint64_t)address, size, false, true, next_id++}; }

bool release(uint64_t address, bool pinned) {
    const auto found = allocations.find(address);
    if (found == allocations.end() || found->second.pinned != pinned || found->second.adopted) return false;
    const Allocation allocation = found->second;
    allocations.erase(found);
    if (!pinned) live_bytes -= allocation.size;
    memset((void*)address, FREED, allocation.size);
    freed.push_back(allocation);
    freed_bytes += allocation.size;
    while (freed_bytes > KEPT) {
        freed_bytes -= freed.front().size;
        free(block_of(freed.front()));
        freed.pop_front();
    }
    return true;
}

void release_all() {
    while (!allocations.empty()) {
        const Allocation allocation = allocations.begin()->second;
        if (!release(allocation.address, allocation.pinned)) allocations.erase(allocation.address);
    }
}

const Allocation* find(uint64_t address) {
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return nullptr;
    const Allocation& allocation = (--next)->second;
    return address < allocation.address + allocation.size ? &allocation : nullptr;
}

bool live(uint64_t address, uint64_t size) {
    const Allocation* allocation = find(address);
    return allocation != nullptr && size <= allocation->address + allocation->size - address;
}

std::string check_guards() {
    for (const auto& entry : allocations) {
        const Allocation& allocation = entry.second;
        if (allocation.adopted) continue;
        const char* side = !guarded(block_of(allocation)) ? "before" : !guarded((char*)allocation.address + allocation.size) ? "after" : nullptr;
        if (side != nullptr) {
            return std::string("written ") + side + " an allocation of " + std::to_string(allocation.size) + " bytes";
        }
    }
    return "";
}

size_t allocated_bytes() { return live_bytes; }

size_t allocation_count(bool pinned) {
    size_t count = 0;
    for (const auto& entry : allocations) count += entry.second.pinned == pinned && !entry.second.adopted;
    return count;
}

}  // namespace panoptim_cuda
