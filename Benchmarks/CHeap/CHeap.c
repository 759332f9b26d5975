#include "CHeap.h"

#if defined(__linux__)
#include <malloc.h>

size_t parley_heap_octets(void) {
    struct mallinfo2 statistics = mallinfo2();
    return statistics.uordblks + statistics.hblkhd;
}

void parley_heap_trim(void) { malloc_trim(0); }
#else
size_t parley_heap_octets(void) { return 0; }

void parley_heap_trim(void) {}
#endif
