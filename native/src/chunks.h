// Loops over the chunks of a table, by a pool's threads where there is enough to do.
#pragma once
#include "floating_point.h"
#include "pool.h"

namespace panoptim {

// Holds the pool for one loop after the other; while it serves another caller, the calling thread is alone.
class Chunks {
public:
    // What is to be worked on may have fewer elements than the table.
    Chunks(panoptim_pool& pool, const panoptim_table& table, uint64_t elements);
    ~Chunks();
    Chunks(const Chunks&) = delete;
    Chunks& operator=(const Chunks&) = delete;

    // Runs a loop over all chunks.
    void run(void (*body)(const void* context, uint64_t begin, uint64_t end), const void* context);

private:
    FloatingPoint environment;
    panoptim_pool& pool;
    const panoptim_table& table;
    uint32_t parts = 1;
};

}  // namespace panoptim
