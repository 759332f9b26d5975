#include "CPlatform.h"
#include <errno.h>
#include <malloc.h>
#include <sys/prctl.h>

void parley_heap(struct parley_heap *heap) {
    struct mallinfo2 info = mallinfo2();
    heap->grown = info.arena;
    heap->mapped = info.hblkhd;
    heap->used = info.uordblks;
    heap->free = info.fordblks;
}

int parley_keep_memory_private(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0; }

int parley_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1; }
