// Streams, events, capture and graphs. Work runs when it is submitted or, where a test asks for it (setting "lazy"), not before
// something waits for it: then host code that frees or overwrites too early shows.
#include <chrono>

#include "driver.h"

using namespace panoptim_cuda;

namespace panoptim_cuda {

Stream* default_stream() {
    static Stream stream = {primary_context(0), 0, 0, {}, nullptr, false};
    return &stream;
}

// 0, 1 and 2 are the default stream, too.
Stream* stream_of(Stream* handle) {
    if ((uintptr_t)handle <= 2) return default_stream();
    return lives(handle) ? handle : nullptr;
}

template <class Action>
static CUresult each_stream(Action action) {
    TRY(action(default_stream()));
    for (auto& entry : handles<Stream>()) TRY(action(entry.second.get()));
    return CUDA_SUCCESS;
}

static CUresult run_next(Stream* stream) {
    std::shared_ptr<Operation> operation = stream->queue.front();
    stream->queue.pop_front();
    TRY(stream->context->error);
    return operation->run();
}

CUresult drain(Stream* stream) {
    while (!stream->queue.empty()) TRY(run_next(stream));
    return stream->context->error;
}

CUresult drain_all() { return each_stream(drain); }

CUresult drain_blocking() {
    return each_stream([](Stream* stream) { return stream->blocking() ? drain(stream) : CUDA_SUCCESS; });
}

CUresult refuse_while_capturing() {
    CUresult result = CUDA_SUCCESS;
    for (auto& entry : handles<Stream>()) {
        Capture* capture = entry.second->capture.get();
        const int relaxed = 2, of_thread = 1;
        if (capture == nullptr || capture->mode == relaxed) continue;
        if (capture->mode == of_thread && capture->thread != std::this_thread::get_id()) continue;
        capture->invalid = true;
        result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return result;
}

CUresult submit(Stream* stream, std::shared_ptr<Operation> operation) {
    if (stream->capture != nullptr) {
        REQUIRE(!stream->capture->invalid, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        stream->capture->graph->nodes.push_back(operation);
        return CUDA_SUCCESS;
    }
    if (stream == default_stream()) {
        TRY(drain_blocking());
    } else if (stream->blocking()) {
        TRY(drain(default_stream()));
    }
    stream->queue.push_back(operation);
    if (setting("lazy") == 0) drain(stream);  // what goes wrong in a kernel shows in the calls that follow
    return CUDA_SUCCESS;
}

void drop_context(Context* context) {
    context->error = CUDA_SUCCESS;
    default_stream()->queue.clear();
    handles<Stream>().clear();
    handles<Event>().clear();
    handles<GraphExec>().clear();
    handles<Function>().clear();
    handles<Module>().clear();
    release_all();
}

static double now() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static std::shared_ptr<Operation> other(std::function<CUresult()> action) {
    auto operation = std::make_shared<Operation>();
    operation->other = std::move(action);
    return operation;
}

static CUresult wait_for(const std::shared_ptr<Event::Recorded>& recorded) {
    while (!recorded->done) {
        REQUIRE(lives(recorded->stream) || recorded->stream == default_stream(), CUDA_ERROR_INVALID_HANDLE);
        TRY(run_next(recorded->stream));
    }
    return CUDA_SUCCESS;
}

// What waits for work that never ends would: so one more operation is done each time it is asked for.
static CUresult query(Stream* stream, bool done) {
    if (done) return stream->context->error;
    TRY(run_next(stream));
    return CUDA_ERROR_NOT_READY;
}

}  // namespace panoptim_cuda

API cuStreamCreateWithPriority(Stream** stream, unsigned flags, int priority) {
    ENTER(CONTEXT);
    REQUIRE(stream != nullptr && flags <= 1, CUDA_ERROR_INVALID_VALUE);
    *stream = keep(std::unique_ptr<Stream>(new Stream{current_context(), flags, priority, {}, nullptr, false}));
    return CUDA_SUCCESS;
}

API cuStreamCreate(Stream** stream, unsigned flags) {
    ENTER(CONTEXT);
    return cuStreamCreateWithPriority(stream, flags, 0);
}

API cuStreamDestroy_v2(Stream* stream) {
    ENTER(CONTEXT);
    REQUIRE(lives(stream), CUDA_ERROR_INVALID_HANDLE);
    const CUresult result = drain(stream);
    handles<Stream>().erase(stream);
    return result;
}

API cuStreamSynchronize(Stream* handle) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    TRY(refuse_while_capturing());
    return stream == default_stream() ? drain_blocking() : drain(stream);
}

API cuStreamQuery(Stream* handle) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    TRY(refuse_while_capturing());
    return query(stream, stream->queue.empty());
}

API cuStreamGetCtx(Stream* handle, Context** context) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    *context = stream->context;
    return CUDA_SUCCESS;
}

API cuStreamGetFlags(Stream* handle, unsigned* flags) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

API cuStreamGetPriority(Stream* handle, int* priority) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    *priority = stream->priority;
    return CUDA_SUCCESS;
}

// On a capturing stream whose event another stream waits for, that one is captured, too.
API cuStreamWaitEvent(Stream* handle, Event* event, unsigned) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream != nullptr && lives(event), CUDA_ERROR_INVALID_HANDLE);
    if (event->capture != nullptr) {
        REQUIRE(stream->capture == nullptr || stream->capture == event->capture, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        stream->capture = event->capture;
        return CUDA_SUCCESS;
    }
    REQUIRE(stream->capture == nullptr, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    std::shared_ptr<Event::Recorded> recorded = event->recorded;
    return recorded == nullptr ? CUDA_SUCCESS : submit(stream, other([recorded] { return wait_for(recorded); }));
}

API cuStreamBeginCapture_v2(Stream* stream, int mode) {
    ENTER(CONTEXT);
    REQUIRE(stream_of(stream) != default_stream(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    REQUIRE(lives(stream), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(mode >= 0 && mode <= 2, CUDA_ERROR_INVALID_VALUE);
    REQUIRE(stream->capture == nullptr, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    stream->capture = std::make_shared<Capture>();
    stream->capture->graph.reset(new Graph);
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    stream->began_capture = true;
    return CUDA_SUCCESS;
}

API cuStreamEndCapture(Stream* stream, Graph** graph) {
    ENTER(CONTEXT);
    REQUIRE(lives(stream), CUDA_ERROR_INVALID_HANDLE);
    *graph = nullptr;
    REQUIRE(stream->began_capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    std::shared_ptr<Capture> capture = stream->capture;
    for (auto& entry : handles<Stream>()) {
        if (entry.second->capture == capture) entry.second->capture = nullptr;
    }
    for (auto& entry : handles<Event>()) {
        if (entry.second->capture == capture) entry.second->capture = nullptr;
    }
    stream->began_capture = false;
    REQUIRE(!capture->invalid, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    *graph = keep(std::move(capture->graph));
    return CUDA_SUCCESS;
}

API cuStreamIsCapturing(Stream* handle, int* status) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    *status = stream->capture == nullptr ? 0 : stream->capture->invalid ? 2 : 1;
    return CUDA_SUCCESS;
}

API cuThreadExchangeStreamCaptureMode(int* mode) {
    ENTER(INITIALIZED);
    static thread_local int own = 0;
    std::swap(own, *mode);
    return CUDA_SUCCESS;
}

API cuEventCreate(Event** event, unsigned flags) {
    ENTER(CONTEXT);
    *event = keep(std::unique_ptr<Event>(new Event{current_context(), flags, nullptr, nullptr}));
    return CUDA_SUCCESS;
}

API cuEventDestroy_v2(Event* event) {
    ENTER(CONTEXT);
    REQUIRE(handles<Event>().erase(event) == 1, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

API cuEventRecord(Event* event, Stream* handle) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream != nullptr && lives(event), CUDA_ERROR_INVALID_HANDLE);
    event->capture = stream->capture;
    if (stream->capture != nullptr) return CUDA_SUCCESS;
    auto recorded = std::make_shared<Event::Recorded>();
    recorded->stream = stream;
    event->recorded = recorded;
    return submit(stream, other([recorded] {
        recorded->done = true;
        recorded->milliseconds = now();
        return CUDA_SUCCESS;
    }));
}

API cuEventSynchronize(Event* event) {
    ENTER(CONTEXT);
    REQUIRE(lives(event), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(event->capture == nullptr, CUDA_ERROR_CAPTURED_EVENT);
    if (event->recorded != nullptr) TRY(wait_for(event->recorded));
    return current_context()->error;
}

API cuEventQuery(Event* event) {
    ENTER(CONTEXT);
    REQUIRE(lives(event), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(event->capture == nullptr, CUDA_ERROR_CAPTURED_EVENT);
    return event->recorded == nullptr ? CUDA_SUCCESS : query(event->recorded->stream, event->recorded->done);
}

API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
    ENTER(CONTEXT);
    REQUIRE(lives(start) && lives(end), CUDA_ERROR_INVALID_HANDLE);
    const unsigned disable_timing = 2;
    REQUIRE(((start->flags | end->flags) & disable_timing) == 0, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(start->recorded != nullptr && end->recorded != nullptr, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(start->recorded->done && end->recorded->done, CUDA_ERROR_NOT_READY);
    *milliseconds = (float)(end->recorded->milliseconds - start->recorded->milliseconds);
    return CUDA_SUCCESS;
}

API cuGraphInstantiateWithFlags(GraphExec** exec, Graph* graph, uint64_t) {
    ENTER(CONTEXT);
    REQUIRE(lives(graph), CUDA_ERROR_INVALID_HANDLE);
    std::unique_ptr<GraphExec> made(new GraphExec);
    for (const std::shared_ptr<Operation>& node : graph->nodes) {
        auto operation = std::make_shared<Operation>(*node);
        for (size_t i = 0; i < operation->pointers.size(); i++) operation->pointers[i] = operation->parameters[i].data();
        made->operations.push_back(operation);
        made->nodes.push_back(node.get());
    }
    *exec = keep(std::move(made));
    return CUDA_SUCCESS;
}

API cuGraphInstantiate(GraphExec** exec, Graph* graph, uint64_t flags) { return cuGraphInstantiateWithFlags(exec, graph, flags); }

API cuGraphUpload(GraphExec* exec, Stream* stream) {
    ENTER(CONTEXT);
    REQUIRE(lives(exec) && stream_of(stream) != nullptr, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

API cuGraphLaunch(GraphExec* exec, Stream* handle) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream != nullptr && lives(exec), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(stream->capture == nullptr, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    // What its nodes are later changed to holds from the next launch on.
    for (std::shared_ptr<Operation>& operation : exec->operations) TRY(submit(stream, operation));
    return CUDA_SUCCESS;
}

API cuGraphDestroy(Graph* graph) {
    ENTER(CONTEXT);
    REQUIRE(handles<Graph>().erase(graph) == 1, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

API cuGraphExecDestroy(GraphExec* exec) {
    ENTER(CONTEXT);
    REQUIRE(handles<GraphExec>().erase(exec) == 1, CUDA_ERROR_INVALID_HANDLE);
    return CUDA_SUCCESS;
}

// With no array, how many there are.
API cuGraphGetNodes(Graph* graph, Operation** nodes, size_t* count) {
    ENTER(CONTEXT);
    REQUIRE(lives(graph), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(count, CUDA_ERROR_INVALID_VALUE);
    if (nodes == nullptr) {
        *count = graph->nodes.size();
        return CUDA_SUCCESS;
    }
    for (size_t i = 0; i < *count; i++) nodes[i] = i < graph->nodes.size() ? graph->nodes[i].get() : nullptr;
    if (*count > graph->nodes.size()) *count = graph->nodes.size();
    return CUDA_SUCCESS;
}

static Operation* node_of(Operation* handle) {
    for (auto& entry : handles<Graph>()) {
        for (std::shared_ptr<Operation>& node : entry.second->nodes) {
            if (node.get() == handle) return handle;
        }
    }
    return nullptr;
}

API cuGraphNodeGetType(Operation* node, int* type) {
    ENTER(CONTEXT);
    REQUIRE(node_of(node), CUDA_ERROR_INVALID_VALUE);
    *type = node->type;
    return CUDA_SUCCESS;
}

struct KernelNodeParameters {  // CUDA_KERNEL_NODE_PARAMS_v2
    Function* function;
    Size grid, block;
    unsigned shared_bytes;
    void** parameters;
    void** extra;
    void* kernel;
    Context* context;
};
static_assert(sizeof(KernelNodeParameters) == 72, "as cuda.h has it");

API cuGraphKernelNodeGetParams_v2(Operation* node, KernelNodeParameters* parameters) {
    ENTER(CONTEXT);
    REQUIRE(node_of(node) != nullptr && node->type == KERNEL_NODE, CUDA_ERROR_INVALID_VALUE);
    *parameters = {node->function, node->grid, node->block, 0, node->pointers.data(), nullptr, nullptr, nullptr};
    return CUDA_SUCCESS;
}

API cuGraphExecKernelNodeSetParams_v2(GraphExec* exec, Operation* node, const KernelNodeParameters* parameters) {
    ENTER(CONTEXT);
    REQUIRE(lives(exec), CUDA_ERROR_INVALID_HANDLE);
    for (size_t i = 0; i < exec->nodes.size(); i++) {
        if (exec->nodes[i] != node || exec->operations[i]->type != KERNEL_NODE) continue;
        // A launch before this one may not have run yet.
        auto changed = std::make_shared<Operation>();
        TRY(changed->set(parameters->function, parameters->grid, parameters->block, parameters->parameters));
        exec->operations[i] = changed;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
}
