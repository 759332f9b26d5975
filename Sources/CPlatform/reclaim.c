#define _GNU_SOURCE
#include "addresses.h"
#include "routes.h"
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <unistd.h>

// Octets of what a dump matched.
static const size_t MAXIMUM = 1 << 20;

struct found {
    uint8_t *octets;
    size_t count;
};

struct search {
    unsigned table;
    unsigned interface;
};

typedef int (*matches)(const struct nlmsghdr *message, const struct search *search);

// The value of an attribute behind a fixed part of `fixed` octets; NULL where it is not there with `count` octets.
static const void *attribute(const struct nlmsghdr *message, size_t fixed, unsigned short type, size_t count) {
    if (message->nlmsg_len < NLMSG_SPACE(fixed)) return NULL;
    size_t left = message->nlmsg_len - NLMSG_SPACE(fixed);
    const struct rtattr *next = (const struct rtattr *)((const uint8_t *)message + NLMSG_SPACE(fixed));
    while (RTA_OK(next, left)) {
        if (next->rta_type == type) return RTA_PAYLOAD(next) >= count ? RTA_DATA(next) : NULL;
        next = RTA_NEXT(next, left);
    }
    return NULL;
}

static uint32_t attribute32(const struct nlmsghdr *message, size_t fixed, unsigned short type, uint32_t otherwise) {
    const void *value = attribute(message, fixed, type, sizeof otherwise);
    if (value) memcpy(&otherwise, value, sizeof otherwise);
    return otherwise;
}

static int is_rule(const struct nlmsghdr *message, const struct search *search) {
    const size_t fixed = sizeof(struct fib_rule_hdr);
    if (message->nlmsg_type != RTM_NEWRULE || message->nlmsg_len < NLMSG_LENGTH(fixed)) return 0;
    const uint8_t *protocol = attribute(message, fixed, FRA_PROTOCOL, 1);
    uint32_t priority = attribute32(message, fixed, FRA_PRIORITY, 0);
    return protocol && *protocol == PARLEY_ROUTE_PROTOCOL &&
           (priority == search->table || priority == search->table - 1);
}

static int is_route(const struct nlmsghdr *message, const struct search *search) {
    const size_t fixed = sizeof(struct rtmsg);
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(fixed)) return 0;
    const struct rtmsg *route = NLMSG_DATA(message);
    return route->rtm_protocol == PARLEY_ROUTE_PROTOCOL &&
           attribute32(message, fixed, RTA_TABLE, route->rtm_table) == search->table;
}

static int is_own_route(const struct nlmsghdr *message, const struct search *search) {
    return is_route(message, search) &&
           attribute32(message, sizeof(struct rtmsg), RTA_OIF, 0) == search->interface;
}

static int is_other_route(const struct nlmsghdr *message, const struct search *search) {
    return is_route(message, search) && !is_own_route(message, search);
}

static int is_address(const struct nlmsghdr *message, const struct search *search) {
    const size_t fixed = sizeof(struct ifaddrmsg);
    if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(fixed)) return 0;
    const uint8_t *protocol = attribute(message, fixed, PARLEY_ADDRESS_PROTOCOL, 1);
    return ((struct ifaddrmsg *)NLMSG_DATA(message))->ifa_index == search->interface && protocol &&
           *protocol == PARLEY_ROUTE_PROTOCOL;
}

static int keep(struct found *found, const struct nlmsghdr *message) {
    size_t size = NLMSG_ALIGN(message->nlmsg_len);
    if (found->count + size > MAXIMUM) return -ENOBUFS;
    uint8_t *octets = realloc(found->octets, found->count + size);
    if (!octets) return -ENOMEM;
    found->octets = octets;
    memset(octets + found->count, 0, size);
    memcpy(octets + found->count, message, message->nlmsg_len);
    found->count += size;
    return 0;
}

// All messages of a dump that match.
static int find(
    unsigned short type, size_t fixed, matches matches, const struct search *search, struct found *found) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return -errno;
    struct {
        struct nlmsghdr header;
        _Alignas(struct nlmsghdr) uint8_t fixed[64];
    } request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(fixed);
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    // Kernels that look at it leave other tables out; for others, and other dumps, it says nothing.
    int strict = 1;
    setsockopt(descriptor, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof strict);
    if (type == RTM_GETROUTE && search->table < 256)
        ((struct rtmsg *)request.fixed)->rtm_table = (uint8_t)search->table;
    int code = send(descriptor, &request, request.header.nlmsg_len, 0) < 0 ? -errno : 0;
    _Alignas(struct nlmsghdr) static _Thread_local uint8_t buffer[65536];
    for (int done = code != 0; !done;) {
        ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            code = count < 0 ? -errno : -EPROTO;
            break;
        }
        unsigned length = (unsigned)count;
        for (struct nlmsghdr *message = (struct nlmsghdr *)buffer; !done && NLMSG_OK(message, length);
             message = NLMSG_NEXT(message, length)) {
            if (message->nlmsg_type == NLMSG_DONE) {
                done = 1;
            } else if (message->nlmsg_type == NLMSG_ERROR) {
                code = message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))
                           ? ((struct nlmsgerr *)NLMSG_DATA(message))->error
                           : -EPROTO;
                done = 1;
            } else if (matches(message, search)) {
                code = keep(found, message);
                done = code != 0;
            }
        }
    }
    close(descriptor);
    return code;
}

// The kernel takes back what it is told in the words by which it told of it.
static int take_back(unsigned short type, const struct found *found) {
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (descriptor < 0) return -errno;
    int taken = 0;
    for (size_t offset = 0; offset < found->count;) {
        struct nlmsghdr *message = (struct nlmsghdr *)(found->octets + offset);
        offset += NLMSG_ALIGN(message->nlmsg_len);
        message->nlmsg_type = type;
        message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        message->nlmsg_seq = 1;
        message->nlmsg_pid = 0;
        if (send(descriptor, message, message->nlmsg_len, 0) < 0) continue;
        _Alignas(struct nlmsghdr) uint8_t answer[4096];
        ssize_t count = recv(descriptor, answer, sizeof answer, 0);
        const struct nlmsghdr *header = (struct nlmsghdr *)answer;
        if (count >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && header->nlmsg_type == NLMSG_ERROR &&
            ((struct nlmsgerr *)NLMSG_DATA(header))->error == 0)
            taken += 1;
    }
    close(descriptor);
    return taken;
}

static int reclaim(
    unsigned short dump, unsigned short removal, size_t fixed, matches matches, const struct search *search) {
    struct found found = {NULL, 0};
    int code = find(dump, fixed, matches, search, &found);
    if (code == 0 && found.count) code = take_back(removal, &found);
    free(found.octets);
    return code;
}

int parley_reclaim(unsigned table, unsigned interface) {
    const struct search search = {table, interface};
    int routes = reclaim(RTM_GETROUTE, RTM_DELROUTE, sizeof(struct rtmsg), is_own_route, &search);
    if (routes < 0) return routes;
    int addresses = reclaim(RTM_GETADDR, RTM_DELADDR, sizeof(struct ifaddrmsg), is_address, &search);
    if (addresses < 0) return addresses;
    // Routes go with their device. Where there are some of another one, another process lives that needs its rules.
    struct found others = {NULL, 0};
    int code = find(RTM_GETROUTE, sizeof(struct rtmsg), is_other_route, &search, &others);
    free(others.octets);
    if (code < 0) return code;
    if (others.count) return routes + addresses;
    int rules = reclaim(RTM_GETRULE, RTM_DELRULE, sizeof(struct fib_rule_hdr), is_rule, &search);
    return rules < 0 ? rules : routes + addresses + rules;
}
