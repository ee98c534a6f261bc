// Workers that help the calling thread through one loop at a time.
#pragma once
#include <pthread.h>

#include <atomic>

#include "panoptim.h"

namespace panoptim {

constexpr int32_t MAX_THREADS = 1024;

// Less elements than this are done before a worker is awake.
constexpr uint64_t SMALL = 32768;
// What a thread takes at a time, at least.
constexpr uint64_t BATCH = 16384;

// A loop over items, which any thread may run from begin to end.
struct Loop {
    void (*body)(const void* context, uint64_t begin, uint64_t end);
    const void* context;
    uint64_t batch;  // items taken at a time
    uint32_t parts;  // at most the pool's threads
};

// A thread, and the contiguous part of the items that it begins with: the same at every step, so that memory stays
// close to it. Who has finished his part helps the others.
struct alignas(64) Member {
    std::atomic<uint64_t> next{0};
    uint64_t end = 0;
    panoptim_pool* pool = nullptr;
    pthread_t thread{};
};

int32_t pool_create(int32_t threads, panoptim_pool** pool);
int32_t pool_destroy(panoptim_pool* pool);

// False while the pool serves another caller.
bool acquire(panoptim_pool& pool);
void release(panoptim_pool& pool);

// Runs the loop over all members' parts, by the calling thread and whichever workers come in time.
void run(panoptim_pool& pool, const Loop& loop);

// The same, after giving each part about the same number of items.
void run(panoptim_pool& pool, const Loop& loop, uint64_t items);

}  // namespace panoptim

struct panoptim_pool {
    int32_t threads = 1;
    bool spins = false;
    panoptim::Loop loop{};
    std::atomic<bool> busy{false};
    // How many workers are inside the loop, and the loop's number, odd while workers may enter.
    alignas(64) std::atomic<uint32_t> state{0};
    alignas(64) std::atomic<int32_t> sleeping{0};
    panoptim::Member members[panoptim::MAX_THREADS];  // the first one is the caller
};
