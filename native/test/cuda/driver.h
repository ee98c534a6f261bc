// What the parts of the driver share: results, handles, and what is done on entering a call. The names, numbers and layouts are
// those of the CUDA Driver API, version 12.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "block.h"
#include "kernels.h"
#include "memory.h"

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;

enum : CUresult {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
    CUDA_ERROR_MISALIGNED_ADDRESS = 716,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
    CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
    CUDA_ERROR_STREAM_CAPTURE_UNJOINED = 904,
    CUDA_ERROR_CAPTURED_EVENT = 907,
    CUDA_ERROR_UNKNOWN = 999,
};

namespace panoptim_cuda {

struct Context {
    CUdevice device = 0;
    int retained = 0;
    CUresult error = CUDA_SUCCESS;  // of a fault, after which nothing else works
};

struct Module {
    Context* context;
};

struct Function {
    Module* module;
    const Kernel* kernel;
};

enum NodeType { KERNEL_NODE = 0, MEMCPY_NODE = 1, MEMSET_NODE = 2, EMPTY_NODE = 5 };

// Of a stream, or of a graph. Parameters are copied when it is made, as the driver does.
struct Operation {
    NodeType type = EMPTY_NODE;
    Function* function = nullptr;
    Size grid = {}, block = {};
    std::vector<std::vector<char>> parameters;
    std::vector<void*> pointers;  // to them
    std::function<CUresult()> other;  // what is no kernel

    CUresult set(Function* function, Size grid, Size block, void** given);
    CUresult run();
};

struct Graph {
    std::vector<std::shared_ptr<Operation>> nodes;  // in the order in which they were captured
};

struct GraphExec {
    std::vector<std::shared_ptr<Operation>> operations;
    std::vector<const Operation*> nodes;  // of the graph, by which they are named
};

struct Capture {
    std::unique_ptr<Graph> graph;
    int mode;
    bool invalid = false;
    std::thread::id thread;
};

struct Stream {
    Context* context;
    unsigned flags;
    int priority;
    std::deque<std::shared_ptr<Operation>> queue;
    std::shared_ptr<Capture> capture;
    bool began_capture = false;

    bool blocking() const { return (flags & 1) == 0; }
};

struct Event {
    struct Recorded {
        Stream* stream;
        bool done = false;
        double milliseconds = 0;
    };
    Context* context;
    unsigned flags;
    std::shared_ptr<Recorded> recorded;
    std::shared_ptr<Capture> capture;  // in which it was recorded last
};

// Those that live, by kind: a handle that is none of them is refused.
template <class T>
std::map<const T*, std::unique_ptr<T>>& handles() {
    static std::map<const T*, std::unique_ptr<T>> all;
    return all;
}

template <class T>
bool lives(const T* handle) {
    return handles<T>().count(handle) != 0;
}

template <class T>
T* keep(std::unique_ptr<T> made) {
    T* handle = made.get();
    handles<T>()[handle] = std::move(made);
    return handle;
}

enum Need { NOTHING, INITIALIZED, CONTEXT };

// Entering and leaving a call of the API: one at a time.
class Call {
public:
    Call(const char* function, Need need);
    const CUresult refused;

private:
    std::lock_guard<std::recursive_mutex> lock;
    static CUresult check(const char* function, Need need);
    static std::recursive_mutex mutex;
};

// The result that a test has ordered for a function's coming call, or success.
CUresult injected(const char* function);
long setting(const char* name);
void count_launch();
Context* current_context();
Context* primary_context(CUdevice device);
// Poisons the context of a stream, says why, and returns the error.
CUresult poison(Context* context, CUresult error, const std::string& message);

Stream* default_stream();
// Null where the handle is not valid.
Stream* stream_of(Stream* handle);
// Runs or records an operation, now or when something waits for it.
CUresult submit(Stream* stream, std::shared_ptr<Operation> operation);
CUresult drain(Stream* stream);
CUresult drain_all();
// What a call without a stream waits for: the default stream, and those that synchronise with it.
CUresult drain_blocking();
// A call that must not be made while something is being captured: it breaks the capture.
CUresult refuse_while_capturing();
void drop_context(Context* context);

}  // namespace panoptim_cuda

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define ENTER(need)                                  \
    const panoptim_cuda::Call call(__func__, need);  \
    if (call.refused != CUDA_SUCCESS) return call.refused
#define REQUIRE(condition, result) \
    if (!(condition)) return result
#define TRY(expression)                                    \
    do {                                                   \
        const CUresult tried = (expression);               \
        if (tried != CUDA_SUCCESS) return tried;           \
    } while (false)
