// Initialisation, devices, contexts, errors, and the entry points by name.
#include <dlfcn.h>
#include <string.h>

#include <algorithm>

#include "driver.h"

using namespace panoptim_cuda;

namespace panoptim_cuda {

static bool initialized = false;
// The thread's current contexts, the last one on top. Without a destructor, so that the library can be unloaded.
constexpr int MAX_CURRENT = 32;
static thread_local Context* current[MAX_CURRENT];
static thread_local int current_count;

std::recursive_mutex Call::mutex;

Call::Call(const char* function, Need need) : refused((mutex.lock(), check(function, need))), lock(mutex, std::adopt_lock) {}

CUresult Call::check(const char* function, Need need) {
    TRY(injected(function));
    if (need == NOTHING) return CUDA_SUCCESS;
    if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (need == INITIALIZED) return CUDA_SUCCESS;
    Context* context = current_context();
    if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    return context->retained == 0 ? CUDA_ERROR_CONTEXT_IS_DESTROYED : context->error;
}

Context* current_context() { return current_count == 0 ? nullptr : current[current_count - 1]; }

Context* primary_context(CUdevice device) {
    static std::map<CUdevice, Context> contexts;
    contexts[device].device = device;
    return &contexts[device];
}

static bool valid(CUdevice device) { return device >= 0 && device < setting("devices"); }

}  // namespace panoptim_cuda

API cuInit(unsigned flags) {
    ENTER(NOTHING);
    REQUIRE(flags == 0, CUDA_ERROR_INVALID_VALUE);
    REQUIRE(setting("devices") > 0, CUDA_ERROR_NO_DEVICE);
    initialized = true;
    return CUDA_SUCCESS;
}

API cuDriverGetVersion(int* version) {
    ENTER(NOTHING);
    REQUIRE(version, CUDA_ERROR_INVALID_VALUE);
    *version = (int)setting("driver_version");
    return CUDA_SUCCESS;
}

struct ErrorName {
    CUresult result;
    const char *name, *text;
};
#define ERROR(name, text) {name, #name, text}
static const ErrorName error_names[] = {
    ERROR(CUDA_SUCCESS, "no error"),
    ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain."),
    ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
    ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not initiated in this stream"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
    ERROR(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};

static const ErrorName* error_name(CUresult result) {
    const auto found = std::find_if(std::begin(error_names), std::end(error_names), [&](const ErrorName& e) { return e.result == result; });
    return found == std::end(error_names) ? nullptr : found;
}

API cuGetErrorName(CUresult result, const char** name) {
    ENTER(NOTHING);
    const ErrorName* found = error_name(result);
    *name = found ? found->name : nullptr;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuGetErrorString(CUresult result, const char** text) {
    ENTER(NOTHING);
    const ErrorName* found = error_name(result);
    *text = found ? found->text : nullptr;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuDeviceGetCount(int* count) {
    ENTER(INITIALIZED);
    *count = (int)setting("devices");
    return CUDA_SUCCESS;
}

API cuDeviceGet(CUdevice* device, int ordinal) {
    ENTER(INITIALIZED);
    REQUIRE(valid(ordinal), CUDA_ERROR_INVALID_DEVICE);
    *device = ordinal;
    return CUDA_SUCCESS;
}

API cuDeviceGetName(char* name, int length, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    REQUIRE(name != nullptr && length > 0, CUDA_ERROR_INVALID_VALUE);
    strncpy(name, "Panoptim's shim", length - 1);
    name[length - 1] = 0;
    return CUDA_SUCCESS;
}

API cuDeviceGetUuid_v2(char* uuid, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    memcpy(uuid, "panoptim shim   ", 15);
    uuid[15] = (char)device;
    return CUDA_SUCCESS;
}

API cuDeviceGetUuid(char* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

API cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    *bytes = (size_t)setting("memory");
    return CUDA_SUCCESS;
}

API cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    switch (attribute) {
        case 1: case 2: case 3: *value = MAX_THREADS; break;  // MAX_THREADS_PER_BLOCK, MAX_BLOCK_DIM_X, _Y
        case 4: *value = 64; break;                           // MAX_BLOCK_DIM_Z
        case 5: *value = 0x7fffffff; break;                   // MAX_GRID_DIM_X
        case 6: case 7: *value = 65535; break;                // MAX_GRID_DIM_Y, _Z
        case 8: *value = 48 << 10; break;                     // MAX_SHARED_MEMORY_PER_BLOCK
        case 10: *value = WARP; break;                        // WARP_SIZE
        case 12: *value = 65536; break;                       // MAX_REGISTERS_PER_BLOCK
        case 13: *value = 1000000; break;                     // CLOCK_RATE, in kHz
        case 16: *value = (int)setting("multiprocessors"); break;  // MULTIPROCESSOR_COUNT
        case 19: case 31: case 41: *value = 1; break;         // CAN_MAP_HOST_MEMORY, CONCURRENT_KERNELS, UNIFIED_ADDRESSING
        case 36: *value = 1000000; break;                     // MEMORY_CLOCK_RATE, in kHz
        case 37: *value = 256; break;                         // GLOBAL_MEMORY_BUS_WIDTH
        case 38: *value = 4 << 20; break;                     // L2_CACHE_SIZE
        case 39: *value = 2048; break;                        // MAX_THREADS_PER_MULTIPROCESSOR
        case 75: *value = (int)setting("compute_major"); break;  // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = (int)setting("compute_minor"); break;  // COMPUTE_CAPABILITY_MINOR
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

API cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    *major = (int)setting("compute_major");
    *minor = (int)setting("compute_minor");
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRetain(Context** context, CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    *context = primary_context(device);
    TRY((*context)->error);
    (*context)->retained++;
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    Context* context = primary_context(device);
    REQUIRE(context->retained > 0, CUDA_ERROR_INVALID_CONTEXT);
    if (--context->retained == 0) drop_context(context);
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxReset_v2(CUdevice device) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    primary_context(device)->retained = 0;
    drop_context(primary_context(device));
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
    ENTER(INITIALIZED);
    REQUIRE(valid(device), CUDA_ERROR_INVALID_DEVICE);
    *flags = 0;
    *active = primary_context(device)->retained > 0;
    return CUDA_SUCCESS;
}

API cuCtxSetCurrent(Context* context) {
    ENTER(INITIALIZED);
    if (current_count > 0) current_count--;
    if (context != nullptr) current[current_count++] = context;
    return CUDA_SUCCESS;
}

API cuCtxGetCurrent(Context** context) {
    ENTER(INITIALIZED);
    *context = current_context();
    return CUDA_SUCCESS;
}

API cuCtxPushCurrent_v2(Context* context) {
    ENTER(INITIALIZED);
    REQUIRE(context, CUDA_ERROR_INVALID_CONTEXT);
    REQUIRE(current_count < MAX_CURRENT, CUDA_ERROR_INVALID_VALUE);
    current[current_count++] = context;
    return CUDA_SUCCESS;
}

API cuCtxPopCurrent_v2(Context** context) {
    ENTER(INITIALIZED);
    REQUIRE(current_count > 0, CUDA_ERROR_INVALID_CONTEXT);
    current_count--;
    if (context != nullptr) *context = current[current_count];
    return CUDA_SUCCESS;
}

API cuCtxGetDevice(CUdevice* device) {
    ENTER(INITIALIZED);
    REQUIRE(current_context() != nullptr, CUDA_ERROR_INVALID_CONTEXT);
    *device = current_context()->device;
    return CUDA_SUCCESS;
}

API cuCtxSynchronize() {
    ENTER(CONTEXT);
    TRY(refuse_while_capturing());
    return drain_all();
}

API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    ENTER(CONTEXT);
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
}

// The newest version of a function, by its name without one.
API cuGetProcAddress_v2(const char* symbol, void** function, int, uint64_t, int* status) {
    ENTER(NOTHING);
    REQUIRE(symbol != nullptr && function != nullptr, CUDA_ERROR_INVALID_VALUE);
    Dl_info own;
    dladdr((void*)cuInit, &own);
    void* library = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = nullptr;
    for (const char* version : {"_v3", "_v2", ""}) {
        if (*function == nullptr) *function = dlsym(library, (std::string(symbol) + version).c_str());
    }
    dlclose(library);
    if (status != nullptr) *status = *function == nullptr ? 1 : 0;
    return *function == nullptr ? CUDA_ERROR_NOT_FOUND : CUDA_SUCCESS;
}

API cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}
