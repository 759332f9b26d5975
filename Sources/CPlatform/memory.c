#include "CPlatform.h"
#include <malloc.h>

void parley_heap(struct parley_heap *heap) {
    struct mallinfo2 info = mallinfo2();
    heap->grown = info.arena;
    heap->mapped = info.hblkhd;
    heap->used = info.uordblks;
    heap->free = info.fordblks;
}
