// A rule of your own: one header, shaped like those in rule/, that begins with this and names what the rule reads and writes:
//
//     #include "user_rule.h"
//
//     PANOPTIM_RULE(tiger, Tiger, (exp_avg), , (decay)(weight)(step_size), (maximize))
//
//     namespace panoptim {
//
//     struct Tiger {
//         template <class T>
//         static PANOPTIM_INLINE void update(const TigerScalars<T>& h, T& p, T g, T& exp_avg) { ... }
//     };
//
//     }  // namespace panoptim
//
// The rule's name and its type; the states that it always has and those that only some options need (at most 6); the scalars
// (16) and flags (32) of a row. Each list is written (first)(second), or left empty. There is an update() for every number of
// states in use, with float and with double for T. For the CPU engine user_rule.cpp compiles it, for CUDA step.cu.
//
// To be vectorised it chooses between values that have been computed, as in h.maximize ? -g : g, never between computations;
// with -fopt-info-vec g++ says so for loop.h. To have the same bits everywhere it is written in the operations of arithmetic.h
// and in sums, products and quotients, with no function of a library.
#pragma once
#include "nvrtc.h"

#include "arithmetic.h"
#include "row.h"

#define PANOPTIM_RULE(rule, type, states, optional_states, scalars, flags)                                 \
    namespace panoptim {                                                                                   \
    struct type;                                                                                           \
    template <class T>                                                                                     \
    struct type##Scalars {                                                                                 \
        PANOPTIM_EACH(PANOPTIM_SCALAR, scalars)                                                            \
        PANOPTIM_EACH(PANOPTIM_FLAG, flags)                                                                \
        static constexpr int OVER = 0, REDUCED = 0;                                                        \
        PANOPTIM_INLINE type##Scalars(const Row<T>& row, const double*) {                                  \
            int next = 0;                                                                                  \
            PANOPTIM_EACH(PANOPTIM_SET_SCALAR, scalars)                                                    \
            next = 0;                                                                                      \
            PANOPTIM_EACH(PANOPTIM_SET_FLAG, flags)                                                        \
            (void)row, (void)next; /* a list may be empty */                                               \
        }                                                                                                  \
    };                                                                                                     \
    struct UserRule {                                                                                      \
        using Type = type;                                                                                 \
        template <class T>                                                                                 \
        using Scalars = type##Scalars<T>;                                                                  \
        static constexpr const char *NAME = #rule, *STATES = #states, *OPTIONAL_STATES = #optional_states, \
                                    *SCALARS = #scalars, *FLAGS = #flags;                                  \
    };                                                                                                     \
    }

// macro(name) for each of the names in (first)(second): two macros take turns, since none is expanded within itself.
#define PANOPTIM_EACH(macro, names) PANOPTIM_JOIN(macro##_1 names, _END)
#define PANOPTIM_JOIN(a, b) PANOPTIM_JOIN_(a, b)
#define PANOPTIM_JOIN_(a, b) a##b

#define PANOPTIM_SCALAR_1(name) T name; PANOPTIM_SCALAR_2
#define PANOPTIM_SCALAR_2(name) T name; PANOPTIM_SCALAR_1
#define PANOPTIM_SCALAR_1_END
#define PANOPTIM_SCALAR_2_END

#define PANOPTIM_FLAG_1(name) int name; PANOPTIM_FLAG_2
#define PANOPTIM_FLAG_2(name) int name; PANOPTIM_FLAG_1
#define PANOPTIM_FLAG_1_END
#define PANOPTIM_FLAG_2_END

#define PANOPTIM_SET_SCALAR_1(name) name = row.scalar[next++]; PANOPTIM_SET_SCALAR_2
#define PANOPTIM_SET_SCALAR_2(name) name = row.scalar[next++]; PANOPTIM_SET_SCALAR_1
#define PANOPTIM_SET_SCALAR_1_END
#define PANOPTIM_SET_SCALAR_2_END

#define PANOPTIM_SET_FLAG_1(name) name = row.flags >> next++ & 1; PANOPTIM_SET_FLAG_2
#define PANOPTIM_SET_FLAG_2(name) name = row.flags >> next++ & 1; PANOPTIM_SET_FLAG_1
#define PANOPTIM_SET_FLAG_1_END
#define PANOPTIM_SET_FLAG_2_END
