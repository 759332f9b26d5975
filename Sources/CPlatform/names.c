#define _GNU_SOURCE
#include "addresses.h"
#include <arpa/nameser.h>
#include <errno.h>
#include <resolv.h>
#include <stdlib.h>

enum { answer_octets = 65536, timeout_seconds = 2, tries = 2 };

// The least TTL of an answer's records; what leads to an address (CNAME) counts as well.
static int least(const uint8_t *answer, int count, uint32_t *seconds) {
    ns_msg message;
    if (ns_initparse(answer, count, &message) != 0) return 0;
    int found = 0;
    for (int index = 0; index < ns_msg_count(message, ns_s_an); index++) {
        ns_rr record;
        if (ns_parserr(&message, ns_s_an, index, &record) != 0) break;
        int type = ns_rr_type(record);
        if (type != ns_t_a && type != ns_t_aaaa && type != ns_t_cname) continue;
        if (!found || ns_rr_ttl(record) < *seconds) *seconds = ns_rr_ttl(record);
        found = 1;
    }
    return found;
}

int parley_name_lifetime(const char *name, const struct parley_address *server, uint32_t *seconds) {
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) return -EIO;
    state.retrans = timeout_seconds;
    state.retry = tries;
    if (server != NULL && server->family == 4) {
        state.nscount = 1;
        memset(&state.nsaddr_list[0], 0, sizeof state.nsaddr_list[0]);
        state.nsaddr_list[0].sin_family = AF_INET;
        state.nsaddr_list[0].sin_port = htons(server->port);
        memcpy(&state.nsaddr_list[0].sin_addr, server->octets, 4);
    }
    uint8_t *answer = malloc(answer_octets);
    int found = 0;
    static const int types[] = {ns_t_a, ns_t_aaaa};
    for (unsigned index = 0; answer != NULL && index < sizeof types / sizeof types[0]; index++) {
        uint32_t lifetime = 0;
        int count = res_nsearch(&state, name, ns_c_in, types[index], answer, answer_octets);
        if (count < 0 || count > answer_octets || !least(answer, count, &lifetime)) continue;
        if (!found || lifetime < *seconds) *seconds = lifetime;
        found = 1;
    }
    free(answer);
    res_nclose(&state);
    return found ? 0 : -ENOENT;
}
