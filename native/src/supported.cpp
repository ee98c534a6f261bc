// Compiled for any processor of the architecture, unlike the rest.
#include "panoptim.h"

#if defined(__x86_64__)
#include <cpuid.h>

// The instruction sets of the x86-64 psABI's levels 3 and 4, as CPUID numbers them. __builtin_cpu_supports() knows only
// what the operating system has enabled, and in older compilers not every one of these.
static const unsigned LEAF_1_ECX = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23  // level 2
                                   | bit_FMA | bit_MOVBE | bit_AVX | bit_F16C;
static const unsigned LEAF_7_EBX = bit_BMI | bit_AVX2 | bit_BMI2;
static const unsigned LEAF_7_EBX_LEVEL_4 = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;
static const unsigned LZCNT = 1u << 5;  // leaf 0x80000001, ECX

// Parts of the processor's state that the operating system must save.
static const unsigned SSE_AND_AVX = 0x06;
static const unsigned AVX512_STATE = 0xe0;

static bool has(unsigned present, unsigned needed) { return (present & needed) == needed; }

int32_t panoptim_supported(void) {
    const bool level4 = PANOPTIM_ISA[sizeof PANOPTIM_ISA - 2] == '4';
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has(ecx, LEAF_1_ECX)) return 0;
    const bool has_xgetbv = has(ecx, bit_OSXSAVE);
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has(ebx, LEAF_7_EBX)) return 0;
    if (level4 && !has(ebx, LEAF_7_EBX_LEVEL_4)) return 0;
    if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !has(ecx, LZCNT)) return 0;
    if (!has_xgetbv) return -1;
    asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return has(eax, level4 ? SSE_AND_AVX | AVX512_STATE : SSE_AND_AVX) ? 1 : -1;
}

#else

// What the library uses belongs to every ARMv8-A processor.
int32_t panoptim_supported(void) { return 1; }

#endif
