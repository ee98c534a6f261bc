// Compiles a rule of your own (user_rule.h) for the CPU engine: the README says how.
#include "user_rule.h"

#include "loop.h"

#if defined(__FAST_MATH__) || __FINITE_MATH_ONLY__
#error "A rule's bits are what it says: compile it without -ffast-math and -ffinite-math-only"
#endif

namespace panoptim {

static constexpr size_t count(const char* names) {
    size_t count = 0;
    for (; *names != 0; ++names) count += *names == '(';
    return count;
}

static constexpr size_t MIN_SLOTS = count(UserRule::STATES);
static constexpr size_t MAX_SLOTS = MIN_SLOTS + count(UserRule::OPTIONAL_STATES);
static_assert(MAX_SLOTS <= PANOPTIM_STATES, "a rule has at most 6 states");
static_assert(count(UserRule::SCALARS) <= PANOPTIM_SCALARS, "a rule has at most 16 scalars");
static_assert(count(UserRule::FLAGS) <= 32, "a rule has at most 32 flags");

template <class T, size_t SLOTS>
static void user_sweep(const Row<T>& row, const double* reduced, uint64_t elements, T* const* columns) {
    sweep<UserRule::Type, UserRule::Scalars<T>>(row, reduced, elements, columns, std::make_index_sequence<SLOTS>());
}

// Null where the rule does not have that many.
template <class T, size_t SLOTS>
static constexpr Sweep<T> user_sweep_of() {
    if constexpr (SLOTS < MIN_SLOTS || SLOTS > MAX_SLOTS) {
        return nullptr;
    } else {
        return user_sweep<T, SLOTS>;
    }
}

// Rounded once, and not twice, unless -ffp-contract=off was given.
static float multiply_add(float a, float b, float c) { return a * b + c; }

#ifdef __AVX512F__
static constexpr uint32_t INSTRUCTIONS = PANOPTIM_AVX512;
#else
static constexpr uint32_t INSTRUCTIONS = 0;
#endif

}  // namespace panoptim

#define SWEEP(T, slots) reinterpret_cast<panoptim_function>(panoptim::user_sweep_of<T, slots>())
#define SWEEPS(T) {SWEEP(T, 0), SWEEP(T, 1), SWEEP(T, 2), SWEEP(T, 3), SWEEP(T, 4), SWEEP(T, 5), SWEEP(T, 6)}

// Without code that would run when the library is loaded, on a processor that may lack the instructions.
extern "C" __attribute__((visibility("default"))) const panoptim_rule panoptim_user_rule;
const panoptim_rule panoptim_user_rule = {
    sizeof(panoptim_rule),
    PANOPTIM_RULE_ABI,
    panoptim::UserRule::NAME,
    panoptim::UserRule::STATES,
    panoptim::UserRule::OPTIONAL_STATES,
    panoptim::UserRule::SCALARS,
    panoptim::UserRule::FLAGS,
    sizeof(panoptim::Row<double>),
    panoptim::INSTRUCTIONS,
    panoptim::multiply_add,
    SWEEPS(float),
    SWEEPS(double),
};
