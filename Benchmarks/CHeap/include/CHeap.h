#ifndef PARLEY_CHEAP_H
#define PARLEY_CHEAP_H

#include <stddef.h>

/* Octets that the allocator has handed out and not got back, large mappings included; 0 where it does not say. */
size_t parley_heap_octets(void);

/* Gives memory that is free back to the system, so that later growth shows. */
void parley_heap_trim(void);

#endif
