#ifndef PARLEY_ALLOCATION_COUNTER_H
#define PARLEY_ALLOCATION_COUNTER_H

/* How often the calling thread has asked the heap for memory. Counted in every allocation of the test process, those of
 * libcrypto and of the Swift runtime included; always 0 where a sanitizer owns the heap. */
unsigned long parley_allocation_count(void);

/* Whether allocations are counted here. */
int parley_allocations_are_counted(void);

#endif
