#define _GNU_SOURCE
#include "CPlatform.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAXIMUM_PARTS 80

// Datagrams of UDP joined into one (Linux 6.2 and later; older headers do not name them).
#define OFFLOAD_USO4 0x20
#define OFFLOAD_USO6 0x40

int parley_tunnel_open(char name[16], int offload, int queues) {
    int descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues ? IFF_MULTI_QUEUE : 0);
    memcpy(request.ifr_name, name, 15);
    if (ioctl(descriptor, TUNSETIFF, &request) < 0) goto failed;
    int headerOctets = 10;
    if (ioctl(descriptor, TUNSETVNETHDRSZ, &headerOctets) < 0) goto failed;
    if (offload) (void)ioctl(descriptor, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
    memcpy(name, request.ifr_name, 16);
    name[15] = 0;
    return descriptor;
failed:;
    int code = errno;
    close(descriptor);
    return -code;
}

int parley_tunnel_join_datagrams(int descriptor) {
    unsigned features = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(descriptor, TUNSETOFFLOAD, features | OFFLOAD_USO4 | OFFLOAD_USO6) == 0) return 1;
    (void)ioctl(descriptor, TUNSETOFFLOAD, features);
    return 0;
}

int parley_tunnel_configure(const char *name, unsigned mtu) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    int code = 0;
    request.ifr_mtu = (int)mtu;
    if (ioctl(descriptor, SIOCSIFMTU, &request) < 0) {
        code = -errno;
    } else {
        // Room for bursts that arrive while the worker seals; a TUN device drops what its queue does not hold.
        request.ifr_qlen = 1000;
        (void)ioctl(descriptor, SIOCSIFTXQLEN, &request);
        request.ifr_flags = 0;
        if (ioctl(descriptor, SIOCGIFFLAGS, &request) < 0) code = -errno;
        request.ifr_flags |= IFF_UP;
        if (!code && ioctl(descriptor, SIOCSIFFLAGS, &request) < 0) code = -errno;
    }
    close(descriptor);
    return code;
}

int parley_tunnel_mtu(const char *name, unsigned mtu) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    request.ifr_mtu = (int)mtu;
    int code = ioctl(descriptor, SIOCSIFMTU, &request) < 0 ? -errno : 0;
    close(descriptor);
    return code;
}

int parley_interface_index(const char *name) {
    unsigned index = if_nametoindex(name);
    return index ? (int)index : -errno;
}

long parley_read(int descriptor, void *buffer, size_t count) {
    ssize_t result;
    do result = read(descriptor, buffer, count);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

long parley_write(int descriptor, const struct parley_part *parts, unsigned count) {
    struct iovec vectors[MAXIMUM_PARTS];
    if (count > MAXIMUM_PARTS) return -EINVAL;
    for (unsigned index = 0; index < count; index++) {
        vectors[index].iov_base = (void *)parts[index].base;
        vectors[index].iov_len = parts[index].count;
    }
    ssize_t result;
    do result = writev(descriptor, vectors, (int)count);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

int parley_packet_pair(int ends[2]) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return -errno;
    return 0;
}

int64_t parley_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int parley_wait(const int *descriptors, uint8_t *ready, unsigned count, int64_t nanoseconds) {
    struct pollfd entries[16];
    if (count > 16) return -EINVAL;
    for (unsigned index = 0; index < count; index++) {
        entries[index].fd = descriptors[index];
        entries[index].events = POLLIN;
        entries[index].revents = 0;
    }
    struct timespec patience = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    int result = ppoll(entries, count, nanoseconds < 0 ? NULL : &patience, NULL);
    if (result < 0) {
        memset(ready, 0, count);
        return errno == EINTR ? 0 : -errno;
    }
    for (unsigned index = 0; index < count; index++) ready[index] = entries[index].revents != 0;
    return result;
}

unsigned parley_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) < 0 ? 1 : CPU_COUNT(&set);
    return count < 1 ? 1 : (unsigned)count;
}
