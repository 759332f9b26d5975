// The operator's own commands.
#define _GNU_SOURCE
#include "CPlatform.h"
#include "addresses.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int parley_script_start(const char *command, char *const environment[], int *output) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    // A group of its own, so that what it starts can be ended with it.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    char *const arguments[] = {"sh", "-c", (char *)command, NULL};
    pid_t child;
    int code = posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (code) {
        close(ends[0]);
        return -code;
    }
    *output = ends[0];
    return (int)child;
}

int parley_script_end(int child, int kills) {
    int status;
    if (kills) kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int parley_interface_of(const struct parley_address *address, char name[16]) {
    struct ifaddrs *list;
    if (getifaddrs(&list) < 0) return -errno;
    int code = -ENODEV;
    for (struct ifaddrs *entry = list; entry && code; entry = entry->ifa_next) {
        struct parley_address found;
        if (!entry->ifa_addr) continue;
        if (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6) continue;
        parley_from_system(entry->ifa_addr, &found);
        if (found.family != address->family) continue;
        if (memcmp(found.octets, address->octets, found.family == 6 ? 16 : 4)) continue;
        strncpy(name, entry->ifa_name, 15);
        name[15] = 0;
        code = 0;
    }
    freeifaddrs(list);
    return code;
}
