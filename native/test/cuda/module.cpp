// Modules, functions and launches. Any image gives the kernels that this library was built with.
#include <string.h>

#include "driver.h"

using namespace panoptim_cuda;

namespace panoptim_cuda {

static const Kernel* kernel_named(const char* name) {
    for (const Part* const* part = parts; *part != nullptr; part++) {
        for (size_t i = 0; i < (*part)->kernel_count; i++) {
            if (strcmp((*part)->kernels[i].name, name) == 0) return &(*part)->kernels[i];
        }
    }
    return nullptr;
}

static const Global* global_named(const char* name) {
    for (const Part* const* part = parts; *part != nullptr; part++) {
        for (size_t i = 0; i < (*part)->global_count; i++) {
            if (strcmp((*part)->globals[i].name, name) == 0) return &(*part)->globals[i];
        }
    }
    return nullptr;
}

CUresult Operation::set(Function* given, Size grid, Size block, void** given_parameters) {
    REQUIRE(lives(given), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(grid.count() > 0 && block.count() > 0 && grid.x <= 0x7fffffff && grid.y <= 65535 && grid.z <= 65535, CUDA_ERROR_INVALID_VALUE);
    REQUIRE(block.count() <= MAX_THREADS && block.z <= 64, CUDA_ERROR_INVALID_VALUE);
    REQUIRE(block.count() <= 256, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);  // the kernels' launch bounds
    REQUIRE(given_parameters, CUDA_ERROR_INVALID_VALUE);
    type = KERNEL_NODE;
    function = given;
    this->grid = grid;
    this->block = block;
    for (size_t i = 0; i < given->kernel->parameter_count; i++) {
        const char* from = (const char*)given_parameters[i];
        REQUIRE(from, CUDA_ERROR_INVALID_VALUE);
        parameters.emplace_back(from, from + given->kernel->parameter_size[i]);
    }
    for (std::vector<char>& parameter : parameters) pointers.push_back(parameter.data());
    return CUDA_SUCCESS;
}

CUresult Operation::run() {
    if (type != KERNEL_NODE) return other ? other() : CUDA_SUCCESS;
    if (!lives(function)) return poison(primary_context(0), CUDA_ERROR_ILLEGAL_ADDRESS, "a kernel whose module was unloaded before it ran");
    if (setting("kernels") == 0) return CUDA_SUCCESS;
    count_launch();
    const Kernel* kernel = function->kernel;
    Context* context = function->module->context;
    const CUresult ordered = injected("kernel");
    if (ordered != CUDA_SUCCESS) return poison(context, ordered, std::string(kernel->name) + ": as a test ordered");
    const char* outside = kernel->check(pointers.data(), grid.count());
    if (outside != nullptr) return poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, std::string(kernel->name) + ": not in device memory: " + outside);
    const std::string fault = panoptim_cuda::run(kernel->call, pointers.data(), grid, block, setting("backwards") != 0);
    if (!fault.empty()) return poison(context, CUDA_ERROR_LAUNCH_FAILED, std::string(kernel->name) + ": " + fault);
    const std::string written = check_guards();
    if (!written.empty()) return poison(context, CUDA_ERROR_ILLEGAL_ADDRESS, std::string(kernel->name) + ": " + written);
    return CUDA_SUCCESS;
}

static CUresult check_image(const void* image) {
    REQUIRE(image, CUDA_ERROR_INVALID_VALUE);
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    const uint32_t fat_binary = 0xba55ed50, wrapper = 0x466243b1, elf = 0x464c457f;
    if (magic == fat_binary || magic == wrapper) return (CUresult)setting("refuse_fat_binary");
    const char* text = (const char*)image;
    const bool ptx = strncmp(text, "//", 2) == 0 || strncmp(text, ".version", 8) == 0;
    return magic == elf || ptx ? CUDA_SUCCESS : CUDA_ERROR_INVALID_IMAGE;
}

}  // namespace panoptim_cuda

API cuModuleLoadData(Module** module, const void* image) {
    ENTER(CONTEXT);
    TRY(check_image(image));
    *module = keep(std::unique_ptr<Module>(new Module{current_context()}));
    return CUDA_SUCCESS;
}

API cuModuleLoadDataEx(Module** module, const void* image, unsigned, const int*, void**) {
    ENTER(CONTEXT);
    return cuModuleLoadData(module, image);
}

API cuModuleLoadFatBinary(Module** module, const void* image) {
    ENTER(CONTEXT);
    return cuModuleLoadData(module, image);
}

API cuModuleUnload(Module* module) {
    ENTER(CONTEXT);
    REQUIRE(lives(module), CUDA_ERROR_INVALID_HANDLE);
    auto& functions = handles<Function>();
    for (auto next = functions.begin(); next != functions.end();) {
        next = next->second->module == module ? functions.erase(next) : std::next(next);
    }
    handles<Module>().erase(module);
    return CUDA_SUCCESS;
}

API cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ENTER(CONTEXT);
    REQUIRE(lives(module), CUDA_ERROR_INVALID_HANDLE);
    const Kernel* kernel = kernel_named(name);
    REQUIRE(kernel, CUDA_ERROR_NOT_FOUND);
    for (auto& entry : handles<Function>()) {
        if (entry.second->module == module && entry.second->kernel == kernel) {
            *function = entry.second.get();
            return CUDA_SUCCESS;
        }
    }
    *function = keep(std::unique_ptr<Function>(new Function{module, kernel}));
    return CUDA_SUCCESS;
}

API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* size, Module* module, const char* name) {
    ENTER(CONTEXT);
    REQUIRE(lives(module), CUDA_ERROR_INVALID_HANDLE);
    const Global* global = global_named(name);
    REQUIRE(global, CUDA_ERROR_NOT_FOUND);
    adopt(global->address, global->size);
    if (address != nullptr) *address = (CUdeviceptr)global->address;
    if (size != nullptr) *size = global->size;
    return CUDA_SUCCESS;
}

API cuFuncGetModule(Module** module, Function* function) {
    ENTER(CONTEXT);
    REQUIRE(lives(function), CUDA_ERROR_INVALID_HANDLE);
    *module = function->module;
    return CUDA_SUCCESS;
}

API cuFuncGetAttribute(int* value, int attribute, Function* function) {
    ENTER(CONTEXT);
    REQUIRE(lives(function), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(value != nullptr && attribute >= 0, CUDA_ERROR_INVALID_VALUE);
    switch (attribute) {
        case 0: *value = 256; break;  // MAX_THREADS_PER_BLOCK
        case 4: *value = 64; break;   // NUM_REGS
        case 5: case 6: *value = (int)(setting("compute_major") * 10 + setting("compute_minor")); break;  // PTX_VERSION, BINARY_VERSION
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

API cuFuncSetAttribute(Function* function, int, int) {
    ENTER(CONTEXT);
    return lives(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API cuFuncSetCacheConfig(Function* function, int) {
    ENTER(CONTEXT);
    return lives(function) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int block_size, size_t) {
    ENTER(CONTEXT);
    REQUIRE(lives(function), CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(blocks != nullptr && block_size > 0, CUDA_ERROR_INVALID_VALUE);
    *blocks = 1024 / block_size;
    return CUDA_SUCCESS;
}

API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, Stream* handle, void** parameters, void** extra) {
    ENTER(CONTEXT);
    Stream* stream = stream_of(handle);
    REQUIRE(stream, CUDA_ERROR_INVALID_HANDLE);
    REQUIRE(extra == nullptr && shared_bytes == 0, CUDA_ERROR_NOT_SUPPORTED);
    auto operation = std::make_shared<Operation>();
    TRY(operation->set(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, parameters));
    return submit(stream, operation);
}
