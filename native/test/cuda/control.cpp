// What tests order and ask: by these functions, and before the first call by an environment variable, such as
// PANOPTIM_CUDA_SHIM="devices=2,lazy=1".
#include <stdlib.h>
#include <string.h>

#include "driver.h"

using namespace panoptim_cuda;

namespace panoptim_cuda {

namespace {

std::map<std::string, long> defaults() {
    std::map<std::string, long> settings = {
        {"driver_version", 13000},
        {"devices", 1},
        {"compute_major", 9},
        {"compute_minor", 0},
        {"multiprocessors", 4},
        {"memory", 4l << 30},      // bytes in all
        {"lazy", 0},               // streams run when something waits for them
        {"kernels", 1},            // 0: launches do nothing, for measuring what they cost the host
        {"backwards", 0},          // the last block, warp and thread first
        {"refuse_fat_binary", 0},  // the result of loading one
    };
    const char* given = getenv("PANOPTIM_CUDA_SHIM");
    std::string rest = given == nullptr ? "" : given;
    while (!rest.empty()) {
        const size_t comma = rest.find(','), equals = rest.find('=');
        if (equals == std::string::npos || settings.count(rest.substr(0, equals)) == 0) abort();
        settings[rest.substr(0, equals)] = strtol(rest.c_str() + equals + 1, nullptr, 0);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    }
    return settings;
}

std::map<std::string, long>& settings() {
    static std::map<std::string, long> all = defaults();
    return all;
}

struct Order {
    std::string function;
    int after;
    CUresult result;
};
std::vector<Order> orders;
long launches = 0;
std::string last_message;

}  // namespace

long setting(const char* name) { return settings().at(name); }

CUresult injected(const char* function) {
    for (size_t i = 0; i < orders.size(); i++) {
        if (orders[i].function != function || orders[i].after-- > 0) continue;
        const CUresult result = orders[i].result;
        orders.erase(orders.begin() + i);
        return result;
    }
    return CUDA_SUCCESS;
}

void count_launch() { launches++; }

CUresult poison(Context* context, CUresult error, const std::string& message) {
    if (context->error == CUDA_SUCCESS) {
        context->error = error;
        last_message = message;
    }
    return error;
}

}  // namespace panoptim_cuda

#define CONTROL extern "C" __attribute__((visibility("default")))

// 0, or -1 where there is no such setting.
CONTROL int panoptim_test_set(const char* name, long value) {
    const Call call("", NOTHING);
    if (settings().count(name) == 0) return -1;
    settings()[name] = value;
    return 0;
}

// A setting, or how much there is of something now; -1 where there is no such thing.
CONTROL long panoptim_test_get(const char* name) {
    const Call call("", NOTHING);
    const std::map<std::string, size_t> counts = {
        {"allocations", allocation_count(false)},
        {"allocated_bytes", allocated_bytes()},
        {"pinned", allocation_count(true)},
        {"streams", handles<Stream>().size()},
        {"events", handles<Event>().size()},
        {"modules", handles<Module>().size()},
        {"graphs", handles<Graph>().size()},
        {"graph_execs", handles<GraphExec>().size()},
        {"retained", (size_t)primary_context(0)->retained},
        {"launches", (size_t)launches},
    };
    if (counts.count(name) != 0) return (long)counts.at(name);
    return settings().count(name) != 0 ? settings()[name] : -1;
}

// The function's next call but so many gives a result and does nothing else; the function "kernel" is any kernel while it runs.
CONTROL int panoptim_test_fail(const char* function, int after_calls, int result) {
    const Call call("", NOTHING);
    orders.push_back({function, after_calls, result});
    return 0;
}

// The settings as they were, nothing ordered, and the device as if no kernel had failed. What is allocated and open stays.
CONTROL int panoptim_test_reset() {
    const Call call("", NOTHING);
    settings() = defaults();
    orders.clear();
    last_message.clear();
    launches = 0;
    for (int device = 0; device < 16; device++) primary_context(device)->error = CUDA_SUCCESS;
    return 0;
}

// Why the last fault was one. Returns its length.
CONTROL int panoptim_test_message(char* text, int capacity) {
    const Call call("", NOTHING);
    if (capacity > 0) {
        strncpy(text, last_message.c_str(), capacity - 1);
        text[capacity - 1] = 0;
    }
    return (int)last_message.size();
}

// For the stand-in for cuBLAS, which is a library of its own: gives a stream something to run, which returns what it was going to read or
// write that is not in the device's memory, or null; and drops the data when nothing can run it any more.
CONTROL int panoptim_test_submit(Stream* handle, const char* (*run)(void* data), void* data, void (*drop)(void* data)) {
    ENTER(CONTEXT);
    const std::shared_ptr<void> kept(data, drop);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    auto operation = std::make_shared<Operation>();
    Context* context = stream->context;
    operation->other = [=]() -> CUresult {
        const char* outside = run(kept.get());
        return outside == nullptr ? CUDA_SUCCESS : poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, std::string("not in device memory: ") + outside);
    };
    return submit(stream, operation);
}

// Whether all of a range is the device's memory.
CONTROL int panoptim_test_live(uint64_t address, uint64_t size) {
    const Call call("", NOTHING);
    return live(address, size);
}
