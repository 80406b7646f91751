/* Which of the compiled variants this processor can run. */
#include "scan.h"

SCAN_EXPORT int scan_has_avx2(void)
{
#if defined(SCAN_WITH_AVX2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

SCAN_EXPORT int scan_chunk(void) { return SCAN_CHUNK; }

SCAN_EXPORT int scan_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
