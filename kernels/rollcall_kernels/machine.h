/* Which of two ways a function goes: with AVX2, FMA and F16C where the processor has them. */
#ifndef ROLLCALL_MACHINE_H
#define ROLLCALL_MACHINE_H

#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define X86 1
#define FAST __attribute__((target("avx2,fma,f16c")))
#else
#define X86 0
#endif

/* Whether the fast way is there and was not forbidden. */
int rollcall_is_fast(void);

#endif
