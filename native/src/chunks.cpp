#include "chunks.h"

#include <algorithm>

namespace panoptim {

Chunks::Chunks(panoptim_pool& pool, const panoptim_table& table, uint64_t elements) : pool(pool), table(table) {
    if (elements >= SMALL && pool.threads > 1 && acquire(pool)) {
        parts = uint32_t(std::min<uint64_t>(uint64_t(pool.threads), elements / BATCH));
    }
}

Chunks::~Chunks() {
    if (parts > 1) release(pool);
}

// Cuts the chunks into contiguous parts of about the same number of elements.
static void partition(const panoptim_table& table, Member* members, uint32_t parts) {
    uint64_t chunk = 0;
    uint64_t elements = 0;
    for (uint32_t part = 0; part < parts; ++part) {
        members[part].next.store(chunk, std::memory_order_relaxed);
        const uint64_t goal = table.elements / parts * (part + 1);
        while (chunk < table.chunk_count && (elements < goal || part + 1 == parts)) elements += table.chunks[chunk++].elements;
        members[part].end = chunk;
    }
}

void Chunks::run(void (*body)(const void* context, uint64_t begin, uint64_t end), const void* context) {
    if (parts == 1) return body(context, 0, table.chunk_count);
    partition(table, pool.members, parts);
    panoptim::run(pool, {body, context, std::max<uint64_t>(1, BATCH * table.chunk_count / table.elements), parts});
}

}  // namespace panoptim
