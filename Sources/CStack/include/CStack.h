// TCP over IP packets in this process: lwIP behind a few functions that are asked, and never call back. All of them belong
// to one thread, and the stack to the process, since lwIP keeps its state in globals. Addresses are 4 or 16 octets in network
// order, by `family` 4 or 6.
#ifndef PARLEY_CSTACK_H
#define PARLEY_CSTACK_H

#include <stddef.h>
#include <stdint.h>

/// Starts the stack, or does nothing where it runs. `mtu` is that of its one interface. 0, or a negative errno.
int parley_stack_start(uint16_t mtu, unsigned seed);
/// Gives the interface this address, in place of the one it had of that family; a family without one reaches nothing.
void parley_stack_set_address(uint8_t family, const uint8_t *octets);
void parley_stack_clear_address(uint8_t family);
int parley_stack_has_address(uint8_t family);
/// Takes an IP packet that came.
void parley_stack_input(const void *packet, size_t count);
/// The next packet to send: its octets, of which it copies no more than `room`; 0 where there is none.
size_t parley_stack_take(void *packet, size_t room);
/// Does what is due, and says in how many milliseconds something will be.
uint32_t parley_stack_tick(void);

/// A TCP connection.
struct parley_stack_stream;
enum parley_stack_state {
    PARLEY_STACK_CONNECTING = 0,
    PARLEY_STACK_OPEN = 1,
    PARLEY_STACK_REFUSED = 2,
    PARLEY_STACK_FAILED = 3,
};
/// Begins to connect; null where there is no route or no memory.
struct parley_stack_stream *parley_stack_connect(uint8_t family, const uint8_t *octets, uint16_t port);
enum parley_stack_state parley_stack_state(const struct parley_stack_stream *stream);
/// Octets that can be written now.
size_t parley_stack_room(const struct parley_stack_stream *stream);
/// Writes up to `count` octets; how many it took.
size_t parley_stack_write(struct parley_stack_stream *stream, const void *octets, size_t count);
/// Reads what is there, up to `room`; 0 where nothing is.
size_t parley_stack_read(struct parley_stack_stream *stream, void *octets, size_t room);
/// Whether the peer has ended its direction and all of it was read.
int parley_stack_is_ended(const struct parley_stack_stream *stream);
/// Ends our direction. False where it must be tried again later.
int parley_stack_finish(struct parley_stack_stream *stream);
/// Gives the stream up: with a reset unless both directions have ended. It is gone then.
void parley_stack_close(struct parley_stack_stream *stream);

#endif
