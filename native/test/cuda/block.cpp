// Fibers with a context switch of a few instructions: a barrier of 256 threads costs some microseconds, and no system call.
#include "block.h"

#include <sys/mman.h>

#include <cstdlib>

#include "builtins.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx, blockDim, gridDim;

// Saves this context's callee-saved registers on its stack and its stack pointer in *from, and goes on with another's.
extern "C" void panoptim_cuda_switch(void** from, void* to);
#if defined(__x86_64__)
asm(R"(
    .text
    .type panoptim_cuda_switch, @function
panoptim_cuda_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size panoptim_cuda_switch, .-panoptim_cuda_switch
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .type panoptim_cuda_switch, @function
panoptim_cuda_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size panoptim_cuda_switch, .-panoptim_cuda_switch
)");
#else
#error "no context switch for this architecture"
#endif

namespace panoptim_cuda {

namespace {

constexpr size_t STACK = 256 << 10;
// Stacks begin at different offsets from a page: else all threads would contend for the same lines of the cache.
constexpr size_t COLOURS = 64, COLOUR = 17 * 64;
constexpr size_t GUARD = 16 << 10;  // a multiple of every page size but the largest

enum State : uint8_t { READY, AT_BARRIER, AT_EXCHANGE, DONE };

struct Fiber {
    void* stack_pointer;
    void* fake_stack;  // AddressSanitizer's
    State state;
    unsigned mask;  // of the exchange at which it waits
    uint3 index;
};

struct Warp {
    uint64_t given[WARP], taken[WARP];
};

struct Scheduler {
    char* stacks = nullptr;
    Fiber fibers[MAX_THREADS];
    Warp warps[MAX_THREADS / WARP];
    unsigned threads;
    unsigned running;
    bool backwards;
    void (*kernel)(void**);
    void** parameters;
    const char* fault;
    void* stack_pointer;  // the scheduler's own
    const void* stack_bottom;
    size_t stack_size;

    char* stack(unsigned thread) { return stacks + thread * (STACK + GUARD) + GUARD; }
    void reserve();
    void start(unsigned thread);
    void resume(unsigned thread);
    void suspend(State state);
    bool exchanged(unsigned warp, unsigned lanes);
    void run_warp(unsigned warp);
    void run_block();
    unsigned order(unsigned i, unsigned count) const { return backwards ? count - 1 - i : i; }
};

Scheduler scheduler;

void enter() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack_bottom, &scheduler.stack_size);
#endif
    scheduler.kernel(scheduler.parameters);
    scheduler.suspend(DONE);
    abort();
}

// Untouched pages take no memory.
void Scheduler::reserve() {
    if (stacks != nullptr) return;
    void* memory = mmap(nullptr, MAX_THREADS * (STACK + GUARD), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    stacks = (char*)memory;
    for (unsigned i = 0; i < MAX_THREADS; i++) mprotect(stack(i) - GUARD, GUARD, PROT_NONE);
}

// As if it had just been suspended before its first instruction.
void Scheduler::start(unsigned thread) {
    char* top = stack(thread) + STACK - thread % COLOURS * COLOUR;
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack(thread), STACK);
#endif
#if defined(__x86_64__)
    void** frame = (void**)top - 8;  // six registers, the entry, and a return address that is never used
    frame[6] = (void*)enter;
    frame[7] = nullptr;
#else
    void** frame = (void**)top - 20;
    frame[10] = nullptr;
    frame[11] = (void*)enter;
#endif
    const uint3 index = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y};
    fibers[thread] = {frame, nullptr, READY, 0, index};
}

void Scheduler::resume(unsigned thread) {
    running = thread;
    threadIdx = fibers[thread].index;
#ifdef __SANITIZE_ADDRESS__
    void* fake;
    __sanitizer_start_switch_fiber(&fake, stack(thread), STACK);
#endif
    panoptim_cuda_switch(&stack_pointer, fibers[thread].stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Scheduler::suspend(State state) {
    Fiber& fiber = fibers[running];
    fiber.state = state;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(state == DONE ? nullptr : &fiber.fake_stack, stack_bottom, stack_size);
#endif
    panoptim_cuda_switch(&fiber.stack_pointer, stack_pointer);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &stack_bottom, &stack_size);
#endif
}

// Whether some lanes have met, and may go on.
bool Scheduler::exchanged(unsigned warp, unsigned lanes) {
    Fiber* fiber = fibers + warp * WARP;
    bool any = false;
    for (unsigned i = 0; i < lanes; i++) {
        if (fiber[i].state != AT_EXCHANGE) continue;
        const unsigned mask = fiber[i].mask;
        bool all = true;
        for (unsigned k = 0; k < lanes && all; k++) {
            if (mask >> k & 1) all = fiber[k].state == AT_EXCHANGE && fiber[k].mask == mask;
        }
        if (!all) continue;
        for (unsigned k = 0; k < lanes; k++) {
            if (!(mask >> k & 1)) continue;
            warps[warp].taken[k] = warps[warp].given[k];
            fiber[k].state = READY;
        }
        any = true;
    }
    return any;
}

// Until each of its threads is done or waits for the block.
void Scheduler::run_warp(unsigned warp) {
    const unsigned first = warp * WARP;
    const unsigned lanes = threads - first < WARP ? threads - first : WARP;
    do {
        for (unsigned i = 0; i < lanes; i++) {
            const unsigned thread = first + order(i, lanes);
            if (fibers[thread].state != READY) continue;
            resume(thread);
            if (fault != nullptr) return;
        }
    } while (exchanged(warp, lanes));
    for (unsigned i = 0; i < lanes; i++) {
        if (fibers[first + i].state == AT_EXCHANGE) fault = "a shuffle that not all lanes of its mask reach";
    }
}

void Scheduler::run_block() {
    for (unsigned thread = 0; thread < threads; thread++) start(thread);
    const unsigned warp_count = (threads + WARP - 1) / WARP;
    while (true) {
        for (unsigned i = 0; i < warp_count && fault == nullptr; i++) run_warp(order(i, warp_count));
        if (fault != nullptr) return;
        unsigned waiting = 0;
        for (unsigned thread = 0; thread < threads; thread++) waiting += fibers[thread].state == AT_BARRIER;
        if (waiting == 0) return;
        if (waiting < threads) {
            fault = "a barrier that not all threads of the block reach";
            return;
        }
        for (unsigned thread = 0; thread < threads; thread++) fibers[thread].state = READY;
    }
}

}  // namespace

std::string run(void (*kernel)(void**), void** parameters, Size grid, Size block, bool backwards) {
    scheduler.reserve();
    scheduler.kernel = kernel;
    scheduler.parameters = parameters;
    scheduler.threads = (unsigned)block.count();
    scheduler.backwards = backwards;
    scheduler.fault = nullptr;
    gridDim = {grid.x, grid.y, grid.z};
    blockDim = {block.x, block.y, block.z};
    for (uint64_t i = 0; i < grid.count(); i++) {
        const uint64_t number = backwards ? grid.count() - 1 - i : i;
        blockIdx = {(unsigned)(number % grid.x), (unsigned)(number / grid.x % grid.y), (unsigned)(number / grid.x / grid.y)};
        scheduler.run_block();
        if (scheduler.fault != nullptr) {
            return std::string(scheduler.fault) + ", in block " + std::to_string(number) + ", thread " + std::to_string(scheduler.running);
        }
    }
    return "";
}

void wait_for_block() { scheduler.suspend(AT_BARRIER); }

const uint64_t* exchange(unsigned mask, uint64_t given) {
    const unsigned thread = scheduler.running;
    if (!(mask >> thread % WARP & 1)) fault("a shuffle whose mask lacks the lane itself");
    // A mask may name lanes that the last warp of a block does not have.
    scheduler.fibers[thread].mask = mask;
    scheduler.warps[thread / WARP].given[thread % WARP] = given;
    scheduler.suspend(AT_EXCHANGE);
    return scheduler.warps[thread / WARP].taken;
}

int lane() { return (int)(scheduler.running % WARP); }

void fault(const char* what) {
    scheduler.fault = what;
    scheduler.suspend(DONE);
    abort();
}

}  // namespace panoptim_cuda
