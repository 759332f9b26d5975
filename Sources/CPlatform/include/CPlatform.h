// System calls that Swift's Glibc module lacks or imports awkwardly: message batches with control data, TUN devices and
// route netlink. Functions return 0 or a count on success and a negative errno on failure.
#ifndef PARLEY_CPLATFORM_H
#define PARLEY_CPLATFORM_H

#include <stddef.h>
#include <stdint.h>

/// An IP address and port; `family` is 4, 6, or 0 for none. Octets in network order, the port in host order.
struct parley_address {
    uint8_t family;
    uint8_t octets[16];
    uint16_t port;
};

// Datagrams

/// What one received message was: `count` octets, from several packets of `segment` octets where that is not 0.
struct parley_incoming {
    struct parley_address from;
    struct parley_address to;
    size_t count;
    size_t segment;
    /// DSCP and ECN of the IP header.
    uint8_t traffic_class;
};

/// Buffers and control data of one receiving thread.
struct parley_receiver;
struct parley_receiver *parley_receiver_create(unsigned messages, size_t octets);
void parley_receiver_destroy(struct parley_receiver *receiver);
/// The buffer of message `index`.
void *parley_receiver_buffer(struct parley_receiver *receiver, unsigned index);
/// Receives what is there into the buffers from `first` on, without waiting. `local` supplies what control data lacks.
/// `incoming[0]` describes the message in the first of these buffers.
int parley_receive(
    int descriptor, struct parley_receiver *receiver, unsigned first, const struct parley_address *local,
    struct parley_incoming *incoming);

/// A UDP socket bound to `local`, which says the address its packets came to and takes and gives segments.
/// `mark` is set where it is not 0 and the process may. With `shared`, other sockets of this user that are shared too may be
/// bound to the same.
int parley_datagram_socket(const struct parley_address *local, uint32_t mark, int shared);
/// Has the `count` sockets that share this one's port get each packet by the first four octets of its payload, a number in
/// network order: the remainder of its division by `count` is the socket's place in the order of binding. Shorter ones go to
/// the first.
int parley_steer(int descriptor, unsigned count);
/// A raw socket for an IP protocol, bound to `local`. With `header`, what is sent begins with its IP header.
int parley_raw_socket(const struct parley_address *local, uint8_t protocol, int header, uint32_t mark);
/// Whether the socket's packets may be cut on their way; with `forbids` they have DF, and those that are larger than the
/// path's MTU, as far as it is known, are refused with EMSGSIZE.
int parley_forbid_fragments(int descriptor, uint8_t family, int forbids);
/// The port that a socket is bound to.
int parley_bound_port(int descriptor);
/// Sends `count` octets, in packets of `segment` octets where that is not 0. The kernel chooses the source where `from`
/// has no family or is unspecified. `marker` octets of zero go in front. `traffic_class` is the IP header's.
int parley_send(
    int descriptor, const struct parley_address *from, const struct parley_address *to, const void *octets,
    size_t count, size_t segment, size_t marker, uint8_t traffic_class);

// Streams

/// A TCP socket that listens on `local`, and does not block.
int parley_stream_listen(const struct parley_address *local, uint32_t mark);
/// Accepts a connection, which does not block; -EAGAIN where none waits.
int parley_stream_accept(int listener, struct parley_address *from, struct parley_address *to, uint32_t mark);
/// Begins to connect; the kernel chooses the port, and the address where `local` has none.
int parley_stream_connect(const struct parley_address *local, const struct parley_address *to, uint32_t mark);
/// Reads what is there: a count, 0 at the stream's end.
long parley_stream_receive(int descriptor, void *buffer, size_t count);
/// Writes what the socket takes now.
long parley_stream_send(int descriptor, const void *octets, size_t count);
/// A set of descriptors that can itself be waited for.
int parley_watch_create(void);
/// Puts a descriptor into the set, or says anew what is wanted of it; closing it takes it out.
int parley_watch(int watch, int descriptor, uint64_t token, int is_new, int wants_to_write);
/// Tokens of descriptors that are ready or broken; never waits. The count.
int parley_watch_ready(int watch, uint64_t *tokens, unsigned room);

// Addresses

/// Fills in the machine's addresses; the count.
int parley_local_addresses(struct parley_address *addresses, unsigned room);
/// The source that the kernel would send from.
int parley_source_address(const struct parley_address *to, uint32_t mark, struct parley_address *source);

/// The MTU of the path to an address, as far as the kernel knows: the interface's, or less where ICMP said so.
int parley_path_mtu(const struct parley_address *to, uint32_t mark);

// TUN

/// Creates a TUN device with virtio headers; with `offload` it takes TCP packets of up to 64 KiB. The descriptor; `name`
/// becomes the device's. With `queues`, each call for the same name opens another of the device's queues.
int parley_tunnel_open(char name[16], int offload, int queues);
/// Lets the device give and take datagrams of UDP that stand for several, for all of its queues. 1 where the kernel can do that.
int parley_tunnel_join_datagrams(int descriptor);
/// Sets the MTU and brings the device up.
int parley_tunnel_configure(const char *name, unsigned mtu);
/// Changes the MTU.
int parley_tunnel_mtu(const char *name, unsigned mtu);
/// The index of an interface.
int parley_interface_index(const char *name);
/// Reads into one buffer, or writes from several; never waits.
long parley_read(int descriptor, void *buffer, size_t count);

struct parley_part {
    const void *base;
    size_t count;
};
long parley_write(int descriptor, const struct parley_part *parts, unsigned count);
/// Two ends of a channel that keeps packets apart.
int parley_packet_pair(int ends[2]);

// Routes

/// Adds (or replaces) or deletes a route to a prefix through an interface; `source` is a hint, with family 0 for none.
int parley_route(
    int add, const struct parley_address *prefix, unsigned length, unsigned table, unsigned interface,
    const struct parley_address *source);
/// Adds or deletes an address of an interface, with a prefix that holds nothing else.
int parley_interface_address(int add, const struct parley_address *address, unsigned interface);
/// Adds or deletes the rule by which packets of a family without `mark` look `table` up.
int parley_rule(int add, uint8_t family, uint32_t mark, unsigned table, unsigned priority);

/// What packets pass a tunnel by. Ports 0 to 65535 are any, and protocol 0 is.
struct parley_bypass {
    struct parley_address source;
    struct parley_address destination;
    unsigned source_length;
    unsigned destination_length;
    uint8_t protocol;
    uint16_t source_port_first;
    uint16_t source_port_last;
    uint16_t destination_port_first;
    uint16_t destination_port_last;
};
/// Adds or deletes the rule by which such packets look the main table up.
int parley_bypass_rule(int add, const struct parley_bypass *bypass, unsigned priority);

/// Takes back what a process that was killed has left of `parley_rule`, `parley_bypass_rule`, `parley_route` and
/// `parley_interface_address` for this table and interface; how much that was. Rules stay where another interface has routes in the table.
int parley_reclaim(unsigned table, unsigned interface);

// Paths

/// A descriptor that can be read when addresses or routes change.
int parley_path_monitor(void);
/// Takes what it says; 1 where an address, or a route of the main table, is another, 0 where not.
int parley_path_changed(int descriptor);

// Taps

/// A packet that a tap saw: its IP header is `network` octets behind the buffer's start; several packets in one where
/// `segment`, octets of UDP's payload in each, is not 0.
struct parley_tapped {
    uint64_t time;
    size_t network;
    size_t segment;
    uint8_t is_echo;
    uint8_t lacks_checksum;
};
/// A socket that sees IPsec's packets of an interface (0: of all), both directions: ESP, AH, UDP and TCP to or from the
/// ports. Needs CAP_NET_RAW.
int parley_tap_open(
    unsigned interface, const uint16_t *udp, unsigned udp_count, const uint16_t *tcp, unsigned tcp_count);
/// Reads a packet; never waits. Its octets with the link's header.
long parley_tap_read(int descriptor, void *buffer, size_t count, struct parley_tapped *tapped);
/// How many packets found no room since this was asked last.
int parley_tap_lost(int descriptor, uint32_t *lost);
/// Who runs the other end of a UNIX socket.
int parley_peer_user(int descriptor, uint32_t *user);

// Processors

/// Processors that this process may run on, at least 1.
unsigned parley_processors(void);

// Memory

/// What the C library's allocator holds, in octets: grown from the heap's end, mapped for large blocks, and how much of the
/// former is in use and free.
struct parley_heap {
    uint64_t grown;
    uint64_t mapped;
    uint64_t used;
    uint64_t free;
};
void parley_heap(struct parley_heap *heap);
/// Lets the kernel neither dump the process's memory nor show it to processes without root's rights.
int parley_keep_memory_private(void);
/// 1 where the kernel may dump it.
int parley_is_dumpable(void);

// Time

/// CLOCK_MONOTONIC in nanoseconds.
int64_t parley_monotonic(void);
/// Waits until a descriptor of `descriptors` can be read or broke, or for `nanoseconds` (below 0: for ever). `ready` gets 1s.
int parley_wait(const int *descriptors, uint8_t *ready, unsigned count, int64_t nanoseconds);

// Names

/// For how many seconds the DNS says that the addresses of a name are good: the least of its records. -ENOENT where it says
/// nothing. `server` (IPv4 with a port) stands for those of resolv.conf, where it is not NULL. Waits for answers, seconds long.
int parley_name_lifetime(const char *name, const struct parley_address *server, uint32_t *seconds);

// Scripts

/// Has `/bin/sh -c` run a command in a process group of its own, with no descriptor of ours but the one that takes what it
/// says; gives its process ID, and in `output` the end to read from, which the caller closes.
int parley_script_start(const char *command, char *const environment[], int *output);
/// Waits for its end, after ending its group where `kills` is not 0; gives its status, or 128 and the signal that ended it.
int parley_script_end(int child, int kills);
/// The name of the interface that has an address.
int parley_interface_of(const struct parley_address *address, char name[16]);

#endif
