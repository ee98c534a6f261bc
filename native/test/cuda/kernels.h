// The kernels and variables of the device, as the driver finds them by name.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <tuple>
#include <type_traits>
#include <utility>

namespace panoptim_cuda {

constexpr size_t MAX_PARAMETERS = 4;

struct Kernel {
    const char* name;
    void (*call)(void** parameters);
    // What it is going to read or write that is not in the device's memory: the name of it, or null.
    const char* (*check)(void** parameters, uint64_t blocks);
    size_t parameter_count;
    size_t parameter_size[MAX_PARAMETERS];
};

struct Global {
    const char* name;
    void* address;
    size_t size;
};

// What one translation unit has.
struct Part {
    const Kernel* kernels;
    size_t kernel_count;
    const Global* globals;
    size_t global_count;
};
// Null at the end.
extern const Part* const parts[];

template <auto KERNEL>
struct Entry;

template <class... P, void (*KERNEL)(P...)>
struct Entry<KERNEL> {
    static_assert(sizeof...(P) <= MAX_PARAMETERS, "raise it");

    template <size_t... I>
    static void call(void** parameters, std::index_sequence<I...>) {
        KERNEL(*(std::decay_t<P>*)parameters[I]...);
    }

    template <class Check>
    static constexpr Kernel of(const char* name, Check check) {
        return {name, [](void** parameters) { call(parameters, std::index_sequence_for<P...>()); }, check, sizeof...(P), {sizeof(P)...}};
    }
};

}  // namespace panoptim_cuda
