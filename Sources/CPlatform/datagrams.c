#define _GNU_SOURCE
#include "addresses.h"
#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

#define CONTROL_OCTETS 128

struct parley_receiver {
    unsigned messages;
    size_t octets;
    uint8_t *buffers;
    struct mmsghdr *headers;
    struct iovec *parts;
    struct sockaddr_storage *senders;
    uint8_t *controls;
};

struct parley_receiver *parley_receiver_create(unsigned messages, size_t octets) {
    struct parley_receiver *receiver = calloc(1, sizeof *receiver);
    if (!receiver) return NULL;
    receiver->messages = messages;
    receiver->octets = octets;
    receiver->buffers = aligned_alloc(64, (messages * octets + 63) / 64 * 64);
    receiver->headers = calloc(messages, sizeof *receiver->headers);
    receiver->parts = calloc(messages, sizeof *receiver->parts);
    receiver->senders = calloc(messages, sizeof *receiver->senders);
    receiver->controls = aligned_alloc(64, (size_t)messages * CONTROL_OCTETS);
    if (!receiver->buffers || !receiver->headers || !receiver->parts || !receiver->senders || !receiver->controls) {
        parley_receiver_destroy(receiver);
        return NULL;
    }
    for (unsigned index = 0; index < messages; index++) {
        receiver->parts[index].iov_base = receiver->buffers + index * octets;
        receiver->parts[index].iov_len = octets;
        receiver->headers[index].msg_hdr.msg_iov = &receiver->parts[index];
        receiver->headers[index].msg_hdr.msg_iovlen = 1;
        receiver->headers[index].msg_hdr.msg_name = &receiver->senders[index];
    }
    return receiver;
}

void parley_receiver_destroy(struct parley_receiver *receiver) {
    if (!receiver) return;
    free(receiver->buffers);
    free(receiver->headers);
    free(receiver->parts);
    free(receiver->senders);
    free(receiver->controls);
    free(receiver);
}

void *parley_receiver_buffer(struct parley_receiver *receiver, unsigned index) {
    return receiver->buffers + index * receiver->octets;
}

int parley_receive(
    int descriptor, struct parley_receiver *receiver, unsigned first, const struct parley_address *local,
    struct parley_incoming *incoming) {
    if (first >= receiver->messages) return 0;
    for (unsigned index = first; index < receiver->messages; index++) {
        // The kernel overwrites these lengths with each message.
        struct msghdr *header = &receiver->headers[index].msg_hdr;
        header->msg_namelen = sizeof receiver->senders[index];
        header->msg_control = receiver->controls + index * CONTROL_OCTETS;
        header->msg_controllen = CONTROL_OCTETS;
        header->msg_flags = 0;
    }
    int count = recvmmsg(descriptor, receiver->headers + first, receiver->messages - first, MSG_DONTWAIT, NULL);
    if (count < 0) return -errno;
    for (int index = 0; index < count; index++) {
        struct msghdr *header = &receiver->headers[first + index].msg_hdr;
        struct parley_incoming *one = &incoming[index];
        parley_from_system((struct sockaddr *)&receiver->senders[first + index], &one->from);
        one->to = *local;
        one->count = receiver->headers[first + index].msg_len;
        one->segment = 0;
        one->traffic_class = 0;
        if (header->msg_flags & MSG_TRUNC) one->count = 0;
        for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
            if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo info;
                memcpy(&info, CMSG_DATA(control), sizeof info);
                one->to.family = 4;
                memset(one->to.octets, 0, 16);
                memcpy(one->to.octets, &info.ipi_addr, 4);
            } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
                struct in6_pktinfo info;
                memcpy(&info, CMSG_DATA(control), sizeof info);
                one->to.family = 6;
                memcpy(one->to.octets, &info.ipi6_addr, 16);
            } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
                one->traffic_class = *(uint8_t *)CMSG_DATA(control);
            } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
                int value;
                memcpy(&value, CMSG_DATA(control), sizeof value);
                one->traffic_class = (uint8_t)value;
            } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
                int segment;
                memcpy(&segment, CMSG_DATA(control), sizeof segment);
                one->segment = segment > 0 ? (size_t)segment : 0;
            }
        }
    }
    return count;
}

static void set(int descriptor, int level, int option, int value) {
    (void)setsockopt(descriptor, level, option, &value, sizeof value);
}

static int finish(int descriptor, const struct parley_address *local, uint32_t mark) {
    if (local->family == 6) {
        set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        set(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        set(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    } else {
        set(descriptor, IPPROTO_IP, IP_PKTINFO, 1);
        set(descriptor, IPPROTO_IP, IP_RECVTOS, 1);
        set(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    }
    // The plain options are cut to the system's limit; the privileged ones are not.
    set(descriptor, SOL_SOCKET, SO_RCVBUF, 8 << 20);
    set(descriptor, SOL_SOCKET, SO_SNDBUF, 8 << 20);
    set(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20);
    set(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20);
    // A full queue slows the sender down, but not for ever.
    struct timeval patience = {.tv_usec = 100000};
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (mark) set(descriptor, SOL_SOCKET, SO_MARK, (int)mark);
    struct sockaddr_storage storage;
    socklen_t length = parley_to_system(local, &storage);
    if (bind(descriptor, (struct sockaddr *)&storage, length) < 0) {
        int code = errno;
        close(descriptor);
        return -code;
    }
    return descriptor;
}

int parley_datagram_socket(const struct parley_address *local, uint32_t mark, int shared) {
    int family = local->family == 6 ? AF_INET6 : AF_INET;
    int descriptor = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    set(descriptor, SOL_UDP, UDP_GRO, 1);
    if (shared) set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1);
    return finish(descriptor, local, mark);
}

int parley_steer(int descriptor, unsigned count) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    int result = setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
    return result < 0 ? -errno : 0;
}

int parley_raw_socket(const struct parley_address *local, uint8_t protocol, int header, uint32_t mark) {
    int family = local->family == 6 ? AF_INET6 : AF_INET;
    int descriptor = socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (descriptor < 0) return -errno;
    if (header && family == AF_INET6) set(descriptor, IPPROTO_IPV6, IPV6_HDRINCL, 1);
    if (header && family == AF_INET) set(descriptor, IPPROTO_IP, IP_HDRINCL, 1);
    struct parley_address address = *local;
    address.port = 0;
    return finish(descriptor, &address, mark);
}

int parley_forbid_fragments(int descriptor, uint8_t family, int forbids) {
    int value = family == 6 ? (forbids ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT)
                            : (forbids ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT);
    int level = family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
    int option = family == 6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER;
    return setsockopt(descriptor, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

int parley_path_mtu(const struct parley_address *to, uint32_t mark) {
    int descriptor = socket(to->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    if (mark) set(descriptor, SOL_SOCKET, SO_MARK, (int)mark);
    struct parley_address target = *to;
    if (!target.port) target.port = 500;
    struct sockaddr_storage storage;
    socklen_t length = parley_to_system(&target, &storage);
    int mtu = 0;
    if (connect(descriptor, (struct sockaddr *)&storage, length) < 0) {
        mtu = -errno;
    } else {
        length = sizeof mtu;
        int code = to->family == 6 ? getsockopt(descriptor, IPPROTO_IPV6, IPV6_MTU, &mtu, &length)
                                   : getsockopt(descriptor, IPPROTO_IP, IP_MTU, &mtu, &length);
        if (code < 0) mtu = -errno;
    }
    close(descriptor);
    return mtu;
}

int parley_bound_port(int descriptor) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) return -errno;
    struct parley_address address;
    parley_from_system((struct sockaddr *)&storage, &address);
    return address.port;
}

int parley_send(
    int descriptor, const struct parley_address *from, const struct parley_address *to, const void *octets,
    size_t count, size_t segment, size_t marker, uint8_t traffic_class) {
    static const uint8_t zeros[16];
    struct sockaddr_storage storage;
    struct iovec parts[2] = {
        {.iov_base = (void *)zeros, .iov_len = marker > sizeof zeros ? sizeof zeros : marker},
        {.iov_base = (void *)octets, .iov_len = count},
    };
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_OCTETS];
    memset(control, 0, sizeof control);
    struct msghdr header = {
        .msg_name = &storage,
        .msg_namelen = parley_to_system(to, &storage),
        .msg_iov = marker ? parts : parts + 1,
        .msg_iovlen = marker ? 2 : 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    size_t used = 0;
    struct cmsghdr *next = CMSG_FIRSTHDR(&header);
    if (from && from->family == to->family && !parley_is_unspecified(from)) {
        if (from->family == 4) {
            struct in_pktinfo info = {0};
            memcpy(&info.ipi_spec_dst, from->octets, 4);
            next->cmsg_level = IPPROTO_IP;
            next->cmsg_type = IP_PKTINFO;
            next->cmsg_len = CMSG_LEN(sizeof info);
            memcpy(CMSG_DATA(next), &info, sizeof info);
            used += CMSG_SPACE(sizeof info);
        } else {
            struct in6_pktinfo info = {0};
            memcpy(&info.ipi6_addr, from->octets, 16);
            next->cmsg_level = IPPROTO_IPV6;
            next->cmsg_type = IPV6_PKTINFO;
            next->cmsg_len = CMSG_LEN(sizeof info);
            memcpy(CMSG_DATA(next), &info, sizeof info);
            used += CMSG_SPACE(sizeof info);
        }
    }
    if (segment && segment < count) {
        next = (struct cmsghdr *)(control + used);
        uint16_t value = (uint16_t)segment;
        next->cmsg_level = SOL_UDP;
        next->cmsg_type = UDP_SEGMENT;
        next->cmsg_len = CMSG_LEN(sizeof value);
        memcpy(CMSG_DATA(next), &value, sizeof value);
        used += CMSG_SPACE(sizeof value);
    }
    if (traffic_class) {
        int value = traffic_class;
        next = (struct cmsghdr *)(control + used);
        next->cmsg_level = to->family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
        next->cmsg_type = to->family == 6 ? IPV6_TCLASS : IP_TOS;
        next->cmsg_len = CMSG_LEN(sizeof value);
        memcpy(CMSG_DATA(next), &value, sizeof value);
        used += CMSG_SPACE(sizeof value);
    }
    header.msg_controllen = used;
    if (!used) header.msg_control = NULL;
    for (;;) {
        if (sendmsg(descriptor, &header, MSG_NOSIGNAL) >= 0) return 0;
        if (errno != EINTR) return -errno;
    }
}

int parley_local_addresses(struct parley_address *addresses, unsigned room) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) return -errno;
    unsigned count = 0;
    for (struct ifaddrs *entry = list; entry && count < room; entry = entry->ifa_next) {
        if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP)) continue;
        if (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6) continue;
        parley_from_system(entry->ifa_addr, &addresses[count++]);
    }
    freeifaddrs(list);
    return (int)count;
}

int parley_source_address(const struct parley_address *to, uint32_t mark, struct parley_address *source) {
    int descriptor = socket(to->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    if (mark) set(descriptor, SOL_SOCKET, SO_MARK, (int)mark);
    struct parley_address target = *to;
    if (!target.port) target.port = 500;
    struct sockaddr_storage storage;
    socklen_t length = parley_to_system(&target, &storage);
    int code = 0;
    if (connect(descriptor, (struct sockaddr *)&storage, length) < 0) {
        code = -errno;
    } else {
        length = sizeof storage;
        if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) code = -errno;
        else parley_from_system((struct sockaddr *)&storage, source);
    }
    close(descriptor);
    return code;
}
