#include "CStack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/tcp.h"
#include "lwip/timeouts.h"

// Debian builds lwIP for a thread of its own and for callers that take its lock. Without tcpip_init that thread never
// starts, and the library leaves all to the one thread that calls it, as it would without a system.

enum { QUEUE_PACKETS = 512, PACKET_OCTETS = 1536 };

static struct netif interface;
static int is_started;

/// Packets to send, the oldest first. TCP repeats what does not fit.
static struct {
    uint16_t count;
    uint8_t octets[PACKET_OCTETS];
} *queue;
static unsigned queue_first, queue_count;

static err_t enqueue(struct pbuf *packet) {
    if (queue_count == QUEUE_PACKETS) return ERR_MEM;
    if (packet->tot_len > PACKET_OCTETS) return ERR_VAL;
    unsigned place = (queue_first + queue_count) % QUEUE_PACKETS;
    queue[place].count = pbuf_copy_partial(packet, queue[place].octets, packet->tot_len, 0);
    queue_count++;
    return ERR_OK;
}

static err_t send_v4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *to) {
    (void)netif;
    (void)to;
    return enqueue(packet);
}

static err_t send_v6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *to) {
    (void)netif;
    (void)to;
    return enqueue(packet);
}

static err_t set_up(struct netif *netif) {
    netif->name[0] = 'p';
    netif->name[1] = 'a';
    netif->output = send_v4;
    netif->output_ip6 = send_v6;
    return ERR_OK;
}

int parley_stack_start(uint16_t mtu, unsigned seed) {
    if (is_started) return 0;
    queue = calloc(QUEUE_PACKETS, sizeof *queue);
    if (queue == NULL) return -ENOMEM;
    // lwIP chooses ports with rand.
    srand(seed);
    lwip_init();
    if (netif_add_noaddr(&interface, NULL, set_up, ip_input) == NULL) return -ENOMEM;
    interface.mtu = mtu;
    interface.mtu6 = mtu;
    interface.ip6_autoconfig_enabled = 0;
    netif_set_default(&interface);
    netif_set_link_up(&interface);
    netif_set_up(&interface);
    // There is no router to ask on this link.
    interface.rs_count = 0;
    is_started = 1;
    return 0;
}

void parley_stack_set_address(uint8_t family, const uint8_t *octets) {
    if (family == 4) {
        ip4_addr_t address, mask, gateway;
        memcpy(&address.addr, octets, 4);
        IP4_ADDR(&mask, 255, 255, 255, 255);
        ip4_addr_set_any(&gateway);
        netif_set_addr(&interface, &address, &mask, &gateway);
    } else {
        ip6_addr_t address;
        memset(&address, 0, sizeof address);
        memcpy(address.addr, octets, 16);
        netif_ip6_addr_set(&interface, 1, &address);
        netif_ip6_addr_set_state(&interface, 1, IP6_ADDR_PREFERRED);
    }
}

void parley_stack_clear_address(uint8_t family) {
    if (family == 4) {
        netif_set_addr(&interface, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
    } else {
        netif_ip6_addr_set_state(&interface, 1, IP6_ADDR_INVALID);
    }
}

int parley_stack_has_address(uint8_t family) {
    return family == 4 ? !ip4_addr_isany_val(*netif_ip4_addr(&interface))
                       : ip6_addr_isvalid(netif_ip6_addr_state(&interface, 1));
}

/// Whether an address is another host's. lwIP would loop packets to our own back through a thread that is not there, and
/// ends the process where it is not.
static int is_other_host(uint8_t family, const uint8_t *octets) {
    static const uint8_t nothing[16];
    if (family == 4) {
        return octets[0] != 0 && octets[0] != 127 && octets[0] < 224 && memcmp(octets, netif_ip4_addr(&interface), 4) != 0;
    }
    for (int index = 0; index < LWIP_IPV6_NUM_ADDRESSES; index++) {
        if (memcmp(octets, netif_ip6_addr(&interface, index)->addr, 16) == 0) return 0;
    }
    // ::, ::1 and what has an IPv4 address inside; multicast.
    return memcmp(octets, nothing, 10) != 0 && octets[0] != 0xFF;
}

/// Whether a packet is of the few kinds that streams need: TCP, and ICMP's errors and echoes; whole, without options or
/// extension headers, and from another host. What is inside a tunnel is hostile too.
static int is_wanted(const uint8_t *packet, size_t count) {
    if (count >= 28 && packet[0] == 0x45) {
        int is_whole = (packet[6] & 0x3F) == 0 && packet[7] == 0;
        return is_whole && (packet[9] == 6 || packet[9] == 1) && is_other_host(4, packet + 12);
    }
    if (count >= 48 && packet[0] >> 4 == 6) {
        // Neighbour and router discovery (133 and on) has no place here.
        return (packet[6] == 6 || (packet[6] == 58 && packet[40] <= 129)) && is_other_host(6, packet + 8);
    }
    return 0;
}

void parley_stack_input(const void *packet, size_t count) {
    if (count > 0xFFFF || !is_wanted(packet, count)) return;
    struct pbuf *buffer = pbuf_alloc(PBUF_RAW, (u16_t)count, PBUF_RAM);
    if (buffer == NULL) return;
    pbuf_take(buffer, packet, (u16_t)count);
    if (interface.input(buffer, &interface) != ERR_OK) pbuf_free(buffer);
}

size_t parley_stack_take(void *packet, size_t room) {
    if (queue_count == 0) return 0;
    size_t count = queue[queue_first].count;
    if (count > room) count = room;
    memcpy(packet, queue[queue_first].octets, count);
    queue_first = (queue_first + 1) % QUEUE_PACKETS;
    queue_count--;
    return count;
}

uint32_t parley_stack_tick(void) {
    sys_check_timeouts();
    return sys_timeouts_sleeptime();
}

// Streams

struct parley_stack_stream {
    /// Null where lwIP has none any more.
    struct tcp_pcb *pcb;
    /// What came and was not read; TCP's window bounds it.
    struct pbuf *received;
    enum parley_stack_state state;
    uint8_t has_ended;
    uint8_t has_finished;
};

static err_t on_connected(void *argument, struct tcp_pcb *pcb, err_t error) {
    struct parley_stack_stream *stream = argument;
    (void)pcb;
    if (error == ERR_OK) stream->state = PARLEY_STACK_OPEN;
    return ERR_OK;
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *packet, err_t error) {
    struct parley_stack_stream *stream = argument;
    (void)pcb;
    (void)error;
    if (packet == NULL) {
        stream->has_ended = 1;
    } else if (stream->received == NULL) {
        stream->received = packet;
    } else {
        // A chain's length has 16 bits, and the window fits into them.
        if ((uint32_t)stream->received->tot_len + packet->tot_len > 0xFFFF) return ERR_MEM;
        pbuf_cat(stream->received, packet);
    }
    return ERR_OK;
}

static void on_error(void *argument, err_t error) {
    struct parley_stack_stream *stream = argument;
    stream->pcb = NULL;
    // Both directions came to their ends.
    if (error == ERR_CLSD && stream->has_ended) return;
    if (stream->state == PARLEY_STACK_CONNECTING && error == ERR_RST) {
        stream->state = PARLEY_STACK_REFUSED;
    } else {
        stream->state = PARLEY_STACK_FAILED;
    }
}

struct parley_stack_stream *parley_stack_connect(uint8_t family, const uint8_t *octets, uint16_t port) {
    if (!is_other_host(family, octets)) return NULL;
    struct parley_stack_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) return NULL;
    ip_addr_t to;
    memset(&to, 0, sizeof to);
    if (family == 4) {
        IP_SET_TYPE_VAL(to, IPADDR_TYPE_V4);
        memcpy(&ip_2_ip4(&to)->addr, octets, 4);
    } else {
        IP_SET_TYPE_VAL(to, IPADDR_TYPE_V6);
        memcpy(ip_2_ip6(&to)->addr, octets, 16);
    }
    struct tcp_pcb *pcb = tcp_new_ip_type(family == 4 ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6);
    if (pcb == NULL) {
        free(stream);
        return NULL;
    }
    stream->pcb = pcb;
    tcp_arg(pcb, stream);
    tcp_recv(pcb, on_received);
    tcp_err(pcb, on_error);
    ip_set_option(pcb, SOF_KEEPALIVE);
    if (tcp_connect(pcb, &to, port, on_connected) != ERR_OK) {
        tcp_arg(pcb, NULL);
        tcp_err(pcb, NULL);
        tcp_abort(pcb);
        free(stream);
        return NULL;
    }
    return stream;
}

enum parley_stack_state parley_stack_state(const struct parley_stack_stream *stream) { return stream->state; }

size_t parley_stack_room(const struct parley_stack_stream *stream) {
    if (stream->pcb == NULL || stream->state != PARLEY_STACK_OPEN || stream->has_finished) return 0;
    return tcp_sndqueuelen(stream->pcb) + 8 < TCP_SND_QUEUELEN ? tcp_sndbuf(stream->pcb) : 0;
}

size_t parley_stack_write(struct parley_stack_stream *stream, const void *octets, size_t count) {
    size_t room = parley_stack_room(stream), taken = 0;
    if (count > room) count = room;
    while (taken < count) {
        // Pieces small enough that a full queue costs only the last of them.
        size_t piece = count - taken < 8192 ? count - taken : 8192;
        if (tcp_write(stream->pcb, (const uint8_t *)octets + taken, (u16_t)piece, TCP_WRITE_FLAG_COPY) != ERR_OK) break;
        taken += piece;
    }
    if (taken > 0) tcp_output(stream->pcb);
    return taken;
}

size_t parley_stack_read(struct parley_stack_stream *stream, void *octets, size_t room) {
    if (stream->received == NULL || room == 0) return 0;
    if (room > 0xFFFF) room = 0xFFFF;
    u16_t count = pbuf_copy_partial(stream->received, octets, (u16_t)room, 0);
    stream->received = pbuf_free_header(stream->received, count);
    if (stream->pcb != NULL) tcp_recved(stream->pcb, count);
    return count;
}

int parley_stack_is_ended(const struct parley_stack_stream *stream) {
    return stream->received == NULL && stream->has_ended;
}

int parley_stack_finish(struct parley_stack_stream *stream) {
    if (stream->pcb == NULL || stream->has_finished) return 1;
    if (tcp_shutdown(stream->pcb, 0, 1) != ERR_OK) return 0;
    stream->has_finished = 1;
    return 1;
}

void parley_stack_close(struct parley_stack_stream *stream) {
    struct tcp_pcb *pcb = stream->pcb;
    if (stream->received != NULL) pbuf_free(stream->received);
    if (pcb != NULL) {
        tcp_arg(pcb, NULL);
        tcp_recv(pcb, NULL);
        tcp_err(pcb, NULL);
        if (!(stream->has_ended && stream->has_finished) || tcp_close(pcb) != ERR_OK) tcp_abort(pcb);
    }
    free(stream);
}
