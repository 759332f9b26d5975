// Conversion between parley_address and the system's addresses; inside this target only.
#ifndef PARLEY_ADDRESSES_H
#define PARLEY_ADDRESSES_H

#include "CPlatform.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static inline socklen_t parley_to_system(const struct parley_address *address, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->octets, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    memcpy(&v6->sin6_addr, address->octets, 16);
    return sizeof *v6;
}

static inline void parley_from_system(const struct sockaddr *system, struct parley_address *address) {
    memset(address, 0, sizeof *address);
    if (system->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)system;
        address->family = 4;
        address->port = ntohs(v4->sin_port);
        memcpy(address->octets, &v4->sin_addr, 4);
    } else if (system->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)system;
        address->family = 6;
        address->port = ntohs(v6->sin6_port);
        memcpy(address->octets, &v6->sin6_addr, 16);
    }
}

static inline int parley_is_unspecified(const struct parley_address *address) {
    static const uint8_t zero[16];
    return address->family == 0 || memcmp(address->octets, zero, sizeof zero) == 0;
}

#endif
