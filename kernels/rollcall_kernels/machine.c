#include "machine.h"

static int forbidden = 0;

/* Raised with every change of a function's arguments or of a format. */
int rollcall_version(void) { return 1; }

int rollcall_is_fast(void) {
#if X86
    return !forbidden && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
#else
    return 0;
#endif
}

/* Forbid the fast way, or allow it again; whether it is taken from now on. For tests. */
int rollcall_fast(int allowed) {
    forbidden = !allowed;
    return rollcall_is_fast();
}
