#include "pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "error.h"
#include "floating_point.h"

namespace panoptim {

// The state's bits. Numbers may wrap around: a worker that mistakes a loop for the last one only fails to help.
static constexpr uint32_t INSIDE = 0x7ff;
static constexpr uint32_t NUMBER = 0x800;
static constexpr uint32_t STOP = ~0u;

static constexpr int64_t SPIN_NANOSECONDS = 20'000;

// Who sleeps on the state.
static constexpr uint32_t WORKER = 1;
static constexpr uint32_t CALLER = 2;

static void sleep_while(panoptim_pool& pool, uint32_t state, uint32_t who) {
    pool.sleeping.fetch_add(1, std::memory_order_seq_cst);
    syscall(SYS_futex, &pool.state, FUTEX_WAIT_BITSET_PRIVATE, state, nullptr, nullptr, who);
    pool.sleeping.fetch_sub(1, std::memory_order_relaxed);
}

// To be called after a change of the state: then who is not yet counted here finds it changed, and does not sleep.
static void wake(panoptim_pool& pool, int count, uint32_t who) {
    if (pool.sleeping.load(std::memory_order_seq_cst) == 0) return;
    syscall(SYS_futex, &pool.state, FUTEX_WAKE_BITSET_PRIVATE, count, nullptr, nullptr, who);
}

static void pause() {
#if defined(__x86_64__)
    _mm_pause();
#else
    asm volatile("isb");
#endif
}

static int64_t now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

// Returns the first state that the condition accepts: waits for it a little awake, then asleep.
template <class Condition>
static uint32_t wait(panoptim_pool& pool, uint32_t who, Condition accepts) {
    int64_t deadline = pool.spins ? now() + SPIN_NANOSECONDS : 0;
    for (;;) {
        uint32_t state = pool.state.load(std::memory_order_seq_cst);
        if (accepts(state)) return state;
        if (pool.spins && now() < deadline) {
            pause();
        } else {
            sleep_while(pool, state, who);
        }
    }
}

static void take_part(panoptim_pool& pool, uint32_t first) {
    const Loop& loop = pool.loop;
    for (uint32_t i = 0; i < loop.parts; ++i) {
        Member& member = pool.members[(first + i) % loop.parts];
        while (member.next.load(std::memory_order_relaxed) < member.end) {
            uint64_t begin = member.next.fetch_add(loop.batch, std::memory_order_relaxed);
            if (begin < member.end) loop.body(loop.context, begin, std::min(begin + loop.batch, member.end));
        }
    }
}

static void* work(void* argument) {
    Member& self = *static_cast<Member*>(argument);
    panoptim_pool& pool = *self.pool;
    uint32_t index = uint32_t(&self - pool.members);
    FloatingPoint environment;
    uint32_t last = 0;
    for (;;) {
        uint32_t state = wait(pool, WORKER, [&](uint32_t s) {
            return s == STOP || ((s & NUMBER) != 0 && s / NUMBER != last);
        });
        if (state == STOP) return nullptr;
        if (!pool.state.compare_exchange_strong(state, state + 1, std::memory_order_seq_cst)) continue;
        last = state / NUMBER;
        if ((state & INSIDE) + 2 < pool.loop.parts) wake(pool, 2, WORKER);
        take_part(pool, index);
        uint32_t before = pool.state.fetch_sub(1, std::memory_order_seq_cst);
        if ((before & (NUMBER | INSIDE)) == 1) wake(pool, 1, CALLER);
    }
}

bool acquire(panoptim_pool& pool) { return !pool.busy.exchange(true, std::memory_order_acquire); }

void release(panoptim_pool& pool) { pool.busy.store(false, std::memory_order_release); }

void run(panoptim_pool& pool, const Loop& loop) {
    pool.loop = loop;
    pool.state.fetch_add(NUMBER, std::memory_order_seq_cst);
    // Who wakes up wakes two more, while this thread is at work.
    wake(pool, 2, WORKER);
    take_part(pool, 0);
    // Workers that have not come yet need not come any more.
    pool.state.fetch_add(NUMBER, std::memory_order_seq_cst);
    wait(pool, CALLER, [](uint32_t state) { return (state & INSIDE) == 0; });
}

void run(panoptim_pool& pool, const Loop& loop, uint64_t items) {
    for (uint32_t part = 0; part < loop.parts; ++part) {
        pool.members[part].next.store(items * part / loop.parts, std::memory_order_relaxed);
        pool.members[part].end = items * (part + 1) / loop.parts;
    }
    run(pool, loop);
}

static int32_t available_processors() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    return int32_t(sysconf(_SC_NPROCESSORS_ONLN));  // more than a cpu_set_t has
}

static int start(Member& member, int32_t index) {
    int code = pthread_create(&member.thread, nullptr, work, &member);
    if (code == 0) {
        char name[24];
        snprintf(name, sizeof name, "panoptim-%d", index);
        pthread_setname_np(member.thread, name);
    }
    return code;
}

static void stop(panoptim_pool* pool, int32_t threads) {
    pool->state.store(STOP, std::memory_order_seq_cst);
    wake(*pool, INT_MAX, WORKER);
    for (int32_t i = 1; i < threads; ++i) pthread_join(pool->members[i].thread, nullptr);
    free(pool);
}

int32_t pool_create(int32_t threads, panoptim_pool** pool) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "pool_create: there is nowhere to put the pool");
    *pool = nullptr;
    if (threads < 1 || threads > MAX_THREADS) {
        return fail(PANOPTIM_INVALID, "pool_create: %d threads, and 1 to %d are possible", threads, MAX_THREADS);
    }
    void* memory = aligned_alloc(alignof(panoptim_pool), sizeof(panoptim_pool));
    if (memory == nullptr) return fail(PANOPTIM_EXHAUSTED, "pool_create: no memory");
    panoptim_pool* created = new (memory) panoptim_pool;
    created->threads = threads;
    created->spins = threads <= available_processors();

    // The workers inherit the mask: signals are the host's business.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    int32_t started = 1;
    for (; started < threads && code == 0; started += code == 0) {
        created->members[started].pool = created;
        code = start(created->members[started], started);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);

    if (code != 0) {
        stop(created, started);
        errno = code;
        return fail(PANOPTIM_EXHAUSTED, "pool_create: thread %d of %d could not be created: %m", started, threads);
    }
    *pool = created;
    return PANOPTIM_OK;
}

int32_t pool_destroy(panoptim_pool* pool) {
    if (pool == nullptr) return fail(PANOPTIM_INVALID, "pool_destroy: the pool is null");
    if (!acquire(*pool)) return fail(PANOPTIM_INVALID, "pool_destroy: a step is running in the pool");
    stop(pool, pool->threads);
    return PANOPTIM_OK;
}

}  // namespace panoptim
