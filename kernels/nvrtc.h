// NVRTC has none of gcc's built-in functions, but declares these itself: the same IEEE operations. First in every .cu.
#pragma once

#ifdef __CUDACC_RTC__
#define __builtin_fabs ::fabs
#define __builtin_fabsf ::fabsf
#define __builtin_fma ::fma
#define __builtin_fmaf ::fmaf
#define __builtin_memcpy ::memcpy
#define __builtin_sqrt ::sqrt
#define __builtin_sqrtf ::sqrtf
#endif
