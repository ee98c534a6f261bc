// Allocation, copies, filling, and what is known of an address.
#include <string.h>

#include "driver.h"

using namespace panoptim_cuda;

namespace panoptim_cuda {

static CUresult allocate_some(uint64_t* address, size_t size, bool pinned) {
    REQUIRE(address != nullptr && size > 0, CUDA_ERROR_INVALID_VALUE);
    TRY(refuse_while_capturing());
    const size_t memory = (size_t)setting("memory");
    REQUIRE(pinned || (size <= memory && allocated_bytes() <= memory - size), CUDA_ERROR_OUT_OF_MEMORY);
    *address = allocate(size, pinned);
    return *address == 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}

static CUresult release_one(uint64_t address, bool pinned) {
    if (address == 0) return CUDA_SUCCESS;
    TRY(refuse_while_capturing());
    const std::string written = check_guards();
    if (!written.empty()) return poison(current_context(), CUDA_ERROR_ILLEGAL_ADDRESS, written);
    return release(address, pinned) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

enum Side { HOST, DEVICE, EITHER };

static Side side_of(uint64_t address, Side side) {
    return side != EITHER ? side : find(address) != nullptr ? DEVICE : HOST;
}

static bool valid(uint64_t address, size_t size, Side side) {
    if (side == DEVICE) return live(address, size);
    const Allocation* allocation = find(address);
    return address != 0 && (allocation == nullptr || (allocation->pinned && live(address, size)));
}

static bool pinned(uint64_t address) {
    const Allocation* allocation = find(address);
    return allocation != nullptr && allocation->pinned;
}

// What is wrong by the time it runs is a fault on the device.
static std::shared_ptr<Operation> copying(uint64_t target, uint64_t source, size_t size, Side to, Side from, Context* context) {
    auto operation = std::make_shared<Operation>();
    operation->type = MEMCPY_NODE;
    operation->other = [=]() -> CUresult {
        if (!valid(target, size, to) || !valid(source, size, from)) {
            return poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, "a copy of memory that was freed before it ran");
        }
        memmove((void*)target, (const void*)source, size);
        return CUDA_SUCCESS;
    };
    return operation;
}

static CUresult copy(uint64_t target, uint64_t source, size_t size, Side to, Side from) {
    if (size == 0) return CUDA_SUCCESS;
    to = side_of(target, to);
    from = side_of(source, from);
    REQUIRE(valid(target, size, to) && valid(source, size, from), CUDA_ERROR_INVALID_VALUE);
    TRY(refuse_while_capturing());
    TRY(drain_blocking());
    return copying(target, source, size, to, from, current_context())->run();
}

// Host memory that is not pinned is copied before this returns: to the device from a buffer, from the device after waiting.
static CUresult copy_async(uint64_t target, uint64_t source, size_t size, Side to, Side from, Stream* handle) {
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    if (size == 0) return CUDA_SUCCESS;
    to = side_of(target, to);
    from = side_of(source, from);
    REQUIRE(valid(target, size, to) && valid(source, size, from), CUDA_ERROR_INVALID_VALUE);
    if (stream->capture == nullptr && from == HOST && !pinned(source)) {
        std::vector<char> staged((const char*)source, (const char*)source + size);
        auto operation = std::make_shared<Operation>();
        operation->type = MEMCPY_NODE;
        Context* context = stream->context;
        operation->other = [=]() -> CUresult {
            if (!valid(target, size, to)) return poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, "a copy of memory that was freed before it ran");
            memcpy((void*)target, staged.data(), size);
            return CUDA_SUCCESS;
        };
        return submit(stream, operation);
    }
    TRY(submit(stream, copying(target, source, size, to, from, stream->context)));
    return stream->capture == nullptr && to == HOST && !pinned(target) ? drain(stream) : CUDA_SUCCESS;
}

template <class T>
static std::shared_ptr<Operation> filling(uint64_t target, size_t pitch, T value, size_t width, size_t height, Context* context) {
    auto operation = std::make_shared<Operation>();
    operation->type = MEMSET_NODE;
    operation->other = [=]() -> CUresult {
        for (size_t row = 0; row < height; row++) {
            T* at = (T*)(target + row * pitch);
            if (!live((uint64_t)at, width * sizeof(T))) {
                return poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, "filling memory that was freed before it was");
            }
            for (size_t i = 0; i < width; i++) at[i] = value;
        }
        return CUDA_SUCCESS;
    };
    return operation;
}

template <class T>
static CUresult check_fill(uint64_t target, size_t pitch, size_t width, size_t height) {
    REQUIRE(target % sizeof(T) == 0 && (height <= 1 || pitch >= width * sizeof(T)), CUDA_ERROR_INVALID_VALUE);
    return live(target, (height - 1) * pitch + width * sizeof(T)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <class T>
static CUresult fill(uint64_t target, size_t pitch, T value, size_t width, size_t height) {
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    TRY(check_fill<T>(target, pitch, width, height));
    TRY(refuse_while_capturing());
    return submit(default_stream(), filling(target, pitch, value, width, height, current_context()));
}

template <class T>
static CUresult fill_async(uint64_t target, size_t pitch, T value, size_t width, size_t height, Stream* handle) {
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    if (width == 0 || height == 0) return CUDA_SUCCESS;
    TRY(check_fill<T>(target, pitch, width, height));
    return submit(stream, filling(target, pitch, value, width, height, stream->context));
}

static CUresult attribute_of(void* data, int attribute, CUdeviceptr address) {
    const Allocation* allocation = find(address);
    switch (attribute) {
        case 13: *(int*)data = allocation != nullptr; return CUDA_SUCCESS;  // MAPPED
        case 8: *(int*)data = 0; return CUDA_SUCCESS;                       // IS_MANAGED
    }
    REQUIRE(allocation, CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
        case 1: *(Context**)data = primary_context(0); return CUDA_SUCCESS;   // CONTEXT
        case 2: *(unsigned*)data = allocation->pinned ? 1 : 2; return CUDA_SUCCESS;  // MEMORY_TYPE: host, device
        case 3: *(CUdeviceptr*)data = address; return CUDA_SUCCESS;           // DEVICE_POINTER
        case 4:                                                               // HOST_POINTER
            REQUIRE(allocation->pinned, CUDA_ERROR_INVALID_VALUE);
            *(CUdeviceptr*)data = address;
            return CUDA_SUCCESS;
        case 7: *(uint64_t*)data = allocation->id; return CUDA_SUCCESS;            // BUFFER_ID
        case 9: *(int*)data = 0; return CUDA_SUCCESS;                              // DEVICE_ORDINAL
        case 11: *(CUdeviceptr*)data = allocation->address; return CUDA_SUCCESS;   // RANGE_START_ADDR
        case 12: *(size_t*)data = allocation->size; return CUDA_SUCCESS;           // RANGE_SIZE
        default: return CUDA_ERROR_NOT_SUPPORTED;
    }
}

}  // namespace panoptim_cuda

API cuMemAlloc_v2(CUdeviceptr* address, size_t size) {
    ENTER(CONTEXT);
    return allocate_some(address, size, false);
}

API cuMemFree_v2(CUdeviceptr address) {
    ENTER(CONTEXT);
    return release_one(address, false);
}

API cuMemGetInfo_v2(size_t* available, size_t* total) {
    ENTER(CONTEXT);
    *total = (size_t)setting("memory");
    *available = *total - std::min(*total, allocated_bytes());
    return CUDA_SUCCESS;
}

API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* size, CUdeviceptr address) {
    ENTER(CONTEXT);
    const Allocation* allocation = find(address);
    REQUIRE(allocation != nullptr && !allocation->pinned, CUDA_ERROR_NOT_FOUND);
    if (base != nullptr) *base = allocation->address;
    if (size != nullptr) *size = allocation->size;
    return CUDA_SUCCESS;
}

API cuMemHostAlloc(CUdeviceptr* address, size_t size, unsigned) {
    ENTER(CONTEXT);
    return allocate_some(address, size, true);
}

API cuMemAllocHost_v2(CUdeviceptr* address, size_t size) {
    ENTER(CONTEXT);
    return allocate_some(address, size, true);
}

API cuMemFreeHost(CUdeviceptr address) {
    ENTER(CONTEXT);
    return release_one(address, true);
}

API cuMemHostGetDevicePointer_v2(CUdeviceptr* device, CUdeviceptr address, unsigned) {
    ENTER(CONTEXT);
    REQUIRE(pinned(address), CUDA_ERROR_INVALID_VALUE);
    *device = address;
    return CUDA_SUCCESS;
}

API cuMemcpyHtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(CONTEXT);
    return copy(target, source, size, DEVICE, HOST);
}

API cuMemcpyDtoH_v2(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(CONTEXT);
    return copy(target, source, size, HOST, DEVICE);
}

API cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(CONTEXT);
    return copy(target, source, size, DEVICE, DEVICE);
}

API cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t size) {
    ENTER(CONTEXT);
    return copy(target, source, size, EITHER, EITHER);
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, Stream* stream) {
    ENTER(CONTEXT);
    return copy_async(target, source, size, DEVICE, HOST, stream);
}

API cuMemcpyDtoHAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, Stream* stream) {
    ENTER(CONTEXT);
    return copy_async(target, source, size, HOST, DEVICE, stream);
}

API cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, Stream* stream) {
    ENTER(CONTEXT);
    return copy_async(target, source, size, DEVICE, DEVICE, stream);
}

API cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t size, Stream* stream) {
    ENTER(CONTEXT);
    return copy_async(target, source, size, EITHER, EITHER, stream);
}

API cuMemsetD8_v2(CUdeviceptr target, unsigned char value, size_t count) {
    ENTER(CONTEXT);
    return fill(target, 0, value, count, 1);
}

API cuMemsetD16_v2(CUdeviceptr target, unsigned short value, size_t count) {
    ENTER(CONTEXT);
    return fill(target, 0, value, count, 1);
}

API cuMemsetD32_v2(CUdeviceptr target, unsigned value, size_t count) {
    ENTER(CONTEXT);
    return fill(target, 0, value, count, 1);
}

API cuMemsetD2D8_v2(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height) {
    ENTER(CONTEXT);
    return fill(target, pitch, value, width, height);
}

API cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, Stream* stream) {
    ENTER(CONTEXT);
    return fill_async(target, 0, value, count, 1, stream);
}

API cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, Stream* stream) {
    ENTER(CONTEXT);
    return fill_async(target, 0, value, count, 1, stream);
}

API cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, Stream* stream) {
    ENTER(CONTEXT);
    return fill_async(target, 0, value, count, 1, stream);
}

API cuMemsetD2D8Async(CUdeviceptr target, size_t pitch, unsigned char value, size_t width, size_t height, Stream* stream) {
    ENTER(CONTEXT);
    return fill_async(target, pitch, value, width, height, stream);
}

API cuPointerGetAttribute(void* data, int attribute, CUdeviceptr address) {
    ENTER(INITIALIZED);
    REQUIRE(data, CUDA_ERROR_INVALID_VALUE);
    return attribute_of(data, attribute, address);
}

// What an address has not is zero here.
API cuPointerGetAttributes(unsigned count, const int* attributes, void** data, CUdeviceptr address) {
    ENTER(INITIALIZED);
    for (unsigned i = 0; i < count; i++) {
        if (attribute_of(data[i], attributes[i], address) != CUDA_SUCCESS) {
            const bool of_int = attributes[i] == 2 || attributes[i] == 9;
            memset(data[i], 0, of_int ? sizeof(int) : sizeof(uint64_t));
        }
    }
    return CUDA_SUCCESS;
}
