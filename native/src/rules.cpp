#include "rules.h"

#include <pthread.h>

#include <atomic>

#include "error.h"

namespace panoptim {

static constexpr int32_t MAX_REGISTERED = 256;

struct Registered {
    const panoptim_rule* rule;
    RuleSweeps sweeps;
};

// Those before the count do not change any more.
static Registered registered[MAX_REGISTERED];
static std::atomic<int32_t> registered_count{0};
static pthread_mutex_t registering = PTHREAD_MUTEX_INITIALIZER;

const RuleSweeps* find_rule(int32_t number) {
    if (number < 0) return nullptr;
    if (number < PANOPTIM_RULE_COUNT) return &rule_sweeps[size_t(number)];
    number -= PANOPTIM_RULE_COUNT;
    return number < registered_count.load(std::memory_order_acquire) ? &registered[number].sweeps : nullptr;
}

static uint32_t instructions() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") ? PANOPTIM_AVX512 : 0;
#else
    return 0;
#endif
}

static int32_t check(const panoptim_rule* rule) {
    if (rule == nullptr) return fail(PANOPTIM_INVALID, "register_rule: the rule is null");
    if (rule->size != sizeof(panoptim_rule) || rule->abi != PANOPTIM_RULE_ABI || rule->row_size != sizeof(Row<double>)) {
        return fail(PANOPTIM_INVALID, "register_rule: the rule was compiled with other headers: ABI %u, %u bytes, rows of %u; "
                    "expected ABI %u, %zu bytes, rows of %zu", rule->abi, rule->size, rule->row_size, PANOPTIM_RULE_ABI,
                    sizeof(panoptim_rule), sizeof(Row<double>));
    }
    if (rule->name == nullptr || rule->multiply_add == nullptr) {
        return fail(PANOPTIM_INVALID, "register_rule: the rule has no name, or no multiply_add");
    }
    if ((rule->instructions & ~instructions()) != 0) {
        return fail(PANOPTIM_UNSUPPORTED, "register_rule: %s was compiled for instructions that this processor lacks: compile it "
                    "with a lower -march, such as x86-64-v3", rule->name);
    }
    // The square is 1 + 2^-11 + 2^-24, of which float32 cannot hold the last part.
    if (rule->multiply_add(1 + 0x1p-12f, 1 + 0x1p-12f, -1 - 0x1p-11f) != 0) {
        return fail(PANOPTIM_INVALID, "register_rule: the compiler of %s fused products with sums, so that its results are not "
                    "what it says: compile it with -ffp-contract=off", rule->name);
    }
    bool any = false;
    for (int slots = 0; slots <= PANOPTIM_STATES; ++slots) {
        if ((rule->float32[slots] == nullptr) != (rule->float64[slots] == nullptr)) {
            return fail(PANOPTIM_INVALID, "register_rule: %s has a loop over %d slots for one of float32 and float64 only",
                        rule->name, slots);
        }
        any = any || rule->float32[slots] != nullptr;
    }
    return any ? PANOPTIM_OK : fail(PANOPTIM_INVALID, "register_rule: %s has no loop", rule->name);
}

static int32_t add(const panoptim_rule* rule, int32_t* number) {
    const int32_t count = registered_count.load(std::memory_order_relaxed);
    for (int32_t i = 0; i < count; ++i) {
        if (registered[i].rule == rule) {
            *number = PANOPTIM_RULE_COUNT + i;
            return PANOPTIM_OK;
        }
    }
    if (count == MAX_REGISTERED) return fail(PANOPTIM_EXHAUSTED, "register_rule: %d rules are registered already", count);
    registered[count].rule = rule;
    RuleSweeps& sweeps = registered[count].sweeps;
    sweeps.name = rule->name;
    for (int slots = 0; slots <= PANOPTIM_STATES; ++slots) {
        sweeps.float32[slots] = reinterpret_cast<Sweep<float>>(rule->float32[slots]);
        sweeps.float64[slots] = reinterpret_cast<Sweep<double>>(rule->float64[slots]);
    }
    registered_count.store(count + 1, std::memory_order_release);
    *number = PANOPTIM_RULE_COUNT + count;
    return PANOPTIM_OK;
}

int32_t register_rule(const panoptim_rule* rule, int32_t* number) {
    if (int32_t code = check(rule)) return code;
    if (number == nullptr) return fail(PANOPTIM_INVALID, "register_rule: there is nowhere to put the number");
    pthread_mutex_lock(&registering);
    const int32_t code = add(rule, number);
    pthread_mutex_unlock(&registering);
    return code;
}

}  // namespace panoptim
