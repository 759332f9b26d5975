#define _GNU_SOURCE
#include "CPlatform.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

// A program of the classic packet filter, instruction by instruction. Loads count from the IP header, whatever the link is.
struct program {
    struct sock_filter code[256];
    unsigned short count;
};

static void step(struct program *program, unsigned short code, unsigned char yes, unsigned char no, uint32_t k) {
    if (program->count < sizeof program->code / sizeof program->code[0])
        program->code[program->count++] = (struct sock_filter){code, yes, no, k};
}

static uint32_t at(int offset) { return (uint32_t)(SKF_NET_OFF + offset); }

static void take(struct program *program) { step(program, BPF_RET | BPF_K, 0, 0, 0xFFFFFFFF); }
static void leave(struct program *program) { step(program, BPF_RET | BPF_K, 0, 0, 0); }

static void take_if(struct program *program, uint32_t value) {
    step(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
    take(program);
}

// Ends by taking what goes to or comes from one of the ports. The transport's header is at `offset` from the IP header; where
// that is 0, behind an IPv4 header with its options.
static void ports(struct program *program, int offset, const uint16_t *wanted, unsigned count) {
    for (int side = 0; side < 2; side++) {
        if (offset == 0) {
            step(program, BPF_LD | BPF_B | BPF_ABS, 0, 0, at(0));
            step(program, BPF_ALU | BPF_AND | BPF_K, 0, 0, 15);
            step(program, BPF_ALU | BPF_LSH | BPF_K, 0, 0, 2);
            step(program, BPF_MISC | BPF_TAX, 0, 0, 0);
            step(program, BPF_LD | BPF_H | BPF_IND, 0, 0, at(2 * side));
        } else {
            step(program, BPF_LD | BPF_H | BPF_ABS, 0, 0, at(offset + 2 * side));
        }
        for (unsigned index = 0; index < count; index++) take_if(program, wanted[index]);
    }
    leave(program);
}

// What `protocol` does is judged by the instructions that `body` appends; others go on behind them.
static void of_protocol(
    struct program *program, uint32_t protocol, int offset, const uint16_t *wanted, unsigned count) {
    unsigned short jump = program->count;
    step(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, protocol);
    ports(program, offset, wanted, count);
    program->code[jump].jf = (unsigned char)(program->count - jump - 1);
}

static void family(
    struct program *program, int is_v6, const uint16_t *udp, unsigned udp_count, const uint16_t *tcp,
    unsigned tcp_count) {
    step(program, BPF_LD | BPF_B | BPF_ABS, 0, 0, at(is_v6 ? 6 : 9));
    take_if(program, 50);
    take_if(program, 51);
    if (is_v6) {
        // Fragments say where they belong only together.
        take_if(program, 44);
    } else {
        step(program, BPF_MISC | BPF_TAX, 0, 0, 0);
        step(program, BPF_LD | BPF_H | BPF_ABS, 0, 0, at(6));
        step(program, BPF_JMP | BPF_JSET | BPF_K, 0, 3, 0x1FFF);
        step(program, BPF_MISC | BPF_TXA, 0, 0, 0);
        take_if(program, 17);
        step(program, BPF_MISC | BPF_TXA, 0, 0, 0);
    }
    of_protocol(program, 17, is_v6 ? 40 : 0, udp, udp_count);
    if (tcp_count) of_protocol(program, 6, is_v6 ? 40 : 0, tcp, tcp_count);
    leave(program);
}

int parley_tap_open(
    unsigned interface, const uint16_t *udp, unsigned udp_count, const uint16_t *tcp, unsigned tcp_count) {
    if (udp_count > 8 || tcp_count > 8) return -EINVAL;
    struct program program = {.count = 0};
    step(&program, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
    unsigned short jump = program.count;
    step(&program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, ETH_P_IP);
    family(&program, 0, udp, udp_count, tcp, tcp_count);
    program.code[jump].jf = (unsigned char)(program.count - jump - 1);
    jump = program.count;
    step(&program, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, ETH_P_IPV6);
    family(&program, 1, udp, udp_count, tcp, tcp_count);
    program.code[jump].jf = (unsigned char)(program.count - jump - 1);
    leave(&program);

    // Without a protocol it gets nothing until it is bound, filter and all.
    int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    struct sock_fprog filter = {program.count, program.code};
    int one = 1, room = 32 << 20;
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    (void)setsockopt(descriptor, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    struct sockaddr_ll all = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)interface};
    if (setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
        setsockopt(descriptor, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0 ||
        setsockopt(descriptor, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) < 0 ||
        bind(descriptor, (struct sockaddr *)&all, sizeof all) < 0) {
        int code = errno;
        close(descriptor);
        return -code;
    }
    return descriptor;
}

long parley_tap_read(int descriptor, void *buffer, size_t count, struct parley_tapped *tapped) {
    struct virtio_net_hdr header;
    struct sockaddr_ll from;
    struct iovec parts[2] = {{&header, sizeof header}, {buffer, count}};
    union {
        struct cmsghdr align;
        char octets[256];
    } control;
    struct msghdr message = {
        .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = parts, .msg_iovlen = 2,
        .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received = recvmsg(descriptor, &message, 0);
    if (received < 0) return -errno;
    memset(tapped, 0, sizeof *tapped);
    if ((size_t)received < sizeof header) return -EBADMSG;
    struct timespec time = {0, 0};
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
            struct tpacket_auxdata data;
            memcpy(&data, CMSG_DATA(part), sizeof data);
            tapped->network = data.tp_net;
        } else if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&time, CMSG_DATA(part), sizeof time);
        }
    }
    if (time.tv_sec == 0) clock_gettime(CLOCK_REALTIME, &time);
    tapped->time = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    // The loopback device shows each packet twice.
    tapped->is_echo = from.sll_hatype == ARPHRD_LOOPBACK && from.sll_pkttype == PACKET_OUTGOING;
    tapped->lacks_checksum = (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    if ((header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4) tapped->segment = header.gso_size;
    return received - (long)sizeof header;
}

int parley_tap_lost(int descriptor, uint32_t *lost) {
    struct tpacket_stats statistics;
    socklen_t length = sizeof statistics;
    if (getsockopt(descriptor, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) < 0) return -errno;
    *lost = statistics.tp_drops;
    return 0;
}

int parley_peer_user(int descriptor, uint32_t *user) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
    *user = credentials.uid;
    return 0;
}
