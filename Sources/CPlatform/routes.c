#define _GNU_SOURCE
#include "addresses.h"
#include "routes.h"
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

// One request: a header, a fixed part and attributes.
struct request {
    struct nlmsghdr header;
    union {
        struct rtmsg route;
        struct fib_rule_hdr rule;
        struct ifaddrmsg address;
    };
    uint8_t attributes[256];
};

static void append(struct request *request, unsigned short type, const void *value, size_t count) {
    struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(count);
    memcpy(RTA_DATA(attribute), value, count);
    request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void append32(struct request *request, unsigned short type, uint32_t value) {
    append(request, type, &value, sizeof value);
}

// A mark by which a later process knows what is ours.
static void append_protocol(struct request *request, unsigned short type) {
    const uint8_t protocol = PARLEY_ROUTE_PROTOCOL;
    append(request, type, &protocol, sizeof protocol);
}

static int transact(struct request *request) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return -errno;
    int code = 0;
    request->header.nlmsg_seq = 1;
    request->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    if (send(descriptor, request, request->header.nlmsg_len, 0) < 0) {
        code = -errno;
    } else {
        _Alignas(struct nlmsghdr) uint8_t answer[4096];
        ssize_t count = recv(descriptor, answer, sizeof answer, 0);
        struct nlmsghdr *header = (struct nlmsghdr *)answer;
        if (count < 0) code = -errno;
        else if (!NLMSG_OK(header, (size_t)count) || header->nlmsg_type != NLMSG_ERROR) code = -EPROTO;
        else code = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
    }
    close(descriptor);
    return code;
}

int parley_route(
    int add, const struct parley_address *prefix, unsigned length, unsigned table, unsigned interface,
    const struct parley_address *source) {
    size_t octets = prefix->family == 6 ? 16 : 4;
    struct request request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.route);
    request.header.nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE;
    request.header.nlmsg_flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    request.route.rtm_family = prefix->family == 6 ? AF_INET6 : AF_INET;
    request.route.rtm_dst_len = (unsigned char)length;
    request.route.rtm_table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC;
    request.route.rtm_protocol = PARLEY_ROUTE_PROTOCOL;
    request.route.rtm_scope = add || prefix->family == 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE;
    request.route.rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
    if (length) append(&request, RTA_DST, prefix->octets, octets);
    append32(&request, RTA_TABLE, table);
    append32(&request, RTA_OIF, interface);
    if (source && source->family == prefix->family) append(&request, RTA_PREFSRC, source->octets, octets);
    return transact(&request);
}

int parley_interface_address(int add, const struct parley_address *address, unsigned interface) {
    size_t octets = address->family == 6 ? 16 : 4;
    struct request request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.address);
    request.header.nlmsg_type = add ? RTM_NEWADDR : RTM_DELADDR;
    request.header.nlmsg_flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    request.address.ifa_family = address->family == 6 ? AF_INET6 : AF_INET;
    request.address.ifa_prefixlen = (uint8_t)(octets * 8);
    // Nobody else is on a tunnel: duplicates need not be looked for, and would hold the address back for a second.
    request.address.ifa_flags = address->family == 6 ? IFA_F_NODAD : 0;
    request.address.ifa_scope = RT_SCOPE_UNIVERSE;
    request.address.ifa_index = interface;
    append(&request, IFA_LOCAL, address->octets, octets);
    append(&request, IFA_ADDRESS, address->octets, octets);
    if (add) append_protocol(&request, PARLEY_ADDRESS_PROTOCOL);
    return transact(&request);
}

int parley_rule(int add, uint8_t family, uint32_t mark, unsigned table, unsigned priority) {
    struct request request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.rule);
    request.header.nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    request.header.nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    request.rule.family = family == 6 ? AF_INET6 : AF_INET;
    request.rule.action = FR_ACT_TO_TBL;
    request.rule.flags = FIB_RULE_INVERT;
    request.rule.table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
    append32(&request, FRA_TABLE, table);
    append32(&request, FRA_PRIORITY, priority);
    append32(&request, FRA_FWMARK, mark);
    append32(&request, FRA_FWMASK, UINT32_MAX);
    append_protocol(&request, FRA_PROTOCOL);
    return transact(&request);
}

static void append_ports(struct request *request, unsigned short type, uint16_t first, uint16_t last) {
    if (first == 0 && last == UINT16_MAX) return;
    struct fib_rule_port_range range = {.start = first, .end = last};
    append(request, type, &range, sizeof range);
}

int parley_bypass_rule(int add, const struct parley_bypass *bypass, unsigned priority) {
    size_t octets = bypass->destination.family == 6 ? 16 : 4;
    struct request request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.rule);
    request.header.nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE;
    request.header.nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
    request.rule.family = bypass->destination.family == 6 ? AF_INET6 : AF_INET;
    request.rule.action = FR_ACT_TO_TBL;
    request.rule.table = RT_TABLE_MAIN;
    request.rule.src_len = (unsigned char)bypass->source_length;
    request.rule.dst_len = (unsigned char)bypass->destination_length;
    if (bypass->source_length) append(&request, FRA_SRC, bypass->source.octets, octets);
    if (bypass->destination_length) append(&request, FRA_DST, bypass->destination.octets, octets);
    append32(&request, FRA_TABLE, RT_TABLE_MAIN);
    append32(&request, FRA_PRIORITY, priority);
    append_protocol(&request, FRA_PROTOCOL);
    if (bypass->protocol) append(&request, FRA_IP_PROTO, &bypass->protocol, 1);
    append_ports(&request, FRA_SPORT_RANGE, bypass->source_port_first, bypass->source_port_last);
    append_ports(&request, FRA_DPORT_RANGE, bypass->destination_port_first, bypass->destination_port_last);
    return transact(&request);
}

int parley_path_monitor(void) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (descriptor < 0) return -errno;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    address.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
        int code = -errno;
        close(descriptor);
        return code;
    }
    return descriptor;
}

int parley_path_changed(int descriptor) {
    _Alignas(struct nlmsghdr) char buffer[16384];
    int changed = 0;
    for (;;) {
        ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        // Messages that were lost may have been any.
        if (count < 0 && errno == ENOBUFS) {
            changed = 1;
            continue;
        }
        if (count <= 0) return changed;
        unsigned length = (unsigned)count;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; NLMSG_OK(message, length);
             message = NLMSG_NEXT(message, length)) {
            if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR) changed = 1;
            if ((message->nlmsg_type == RTM_NEWROUTE || message->nlmsg_type == RTM_DELROUTE) &&
                message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct rtmsg)) &&
                ((struct rtmsg *)NLMSG_DATA(message))->rtm_table == RT_TABLE_MAIN)
                changed = 1;
        }
    }
}
