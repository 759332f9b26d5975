#define _GNU_SOURCE
#include "addresses.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

static void set(int descriptor, int level, int option, int value) {
    (void)setsockopt(descriptor, level, option, &value, sizeof value);
}

// Packets wait for nobody, and a path that has died is noticed within half a minute.
static void prepare(int descriptor, uint32_t mark) {
    set(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    set(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
    if (mark) set(descriptor, SOL_SOCKET, SO_MARK, (int)mark);
}

static int fail(int descriptor) {
    int code = errno;
    if (descriptor >= 0) close(descriptor);
    return -code;
}

int parley_stream_listen(const struct parley_address *local, uint32_t mark) {
    int family = local->family == 6 ? AF_INET6 : AF_INET;
    int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    set(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6) set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    prepare(descriptor, mark);
    struct sockaddr_storage storage;
    socklen_t length = parley_to_system(local, &storage);
    if (bind(descriptor, (struct sockaddr *)&storage, length) < 0 || listen(descriptor, 64) < 0) return fail(descriptor);
    return descriptor;
}

int parley_stream_accept(int listener, struct parley_address *from, struct parley_address *to, uint32_t mark) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int descriptor = accept4(listener, (struct sockaddr *)&storage, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) return -errno;
    parley_from_system((struct sockaddr *)&storage, from);
    length = sizeof storage;
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) return fail(descriptor);
    parley_from_system((struct sockaddr *)&storage, to);
    prepare(descriptor, mark);
    return descriptor;
}

int parley_stream_connect(const struct parley_address *local, const struct parley_address *to, uint32_t mark) {
    int descriptor = socket(to->family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -errno;
    prepare(descriptor, mark);
    struct sockaddr_storage storage;
    socklen_t length;
    if (!parley_is_unspecified(local)) {
        struct parley_address own = *local;
        own.port = 0;
        length = parley_to_system(&own, &storage);
        if (bind(descriptor, (struct sockaddr *)&storage, length) < 0) return fail(descriptor);
    }
    length = parley_to_system(to, &storage);
    if (connect(descriptor, (struct sockaddr *)&storage, length) < 0 && errno != EINPROGRESS) return fail(descriptor);
    return descriptor;
}

long parley_stream_receive(int descriptor, void *buffer, size_t count) {
    ssize_t result = recv(descriptor, buffer, count, MSG_DONTWAIT);
    return result < 0 ? -errno : result;
}

long parley_stream_send(int descriptor, const void *octets, size_t count) {
    ssize_t result = send(descriptor, octets, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return result < 0 ? -errno : result;
}

int parley_watch_create(void) {
    int descriptor = epoll_create1(EPOLL_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

int parley_watch(int watch, int descriptor, uint64_t token, int is_new, int wants_to_write) {
    struct epoll_event event = {.events = EPOLLIN | (wants_to_write ? EPOLLOUT : 0), .data = {.u64 = token}};
    return epoll_ctl(watch, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event) < 0 ? -errno : 0;
}

int parley_watch_ready(int watch, uint64_t *tokens, unsigned room) {
    struct epoll_event events[64];
    int count = epoll_wait(watch, events, room < 64 ? (int)room : 64, 0);
    if (count < 0) return -errno;
    for (int index = 0; index < count; index++) tokens[index] = events[index].data.u64;
    return count;
}
