// One HTTP exchange by libcurl, whose options are set by a variadic function that Swift cannot call.
#ifndef PARLEY_CCURL_H
#define PARLEY_CCURL_H

#include <stddef.h>
#include <stdint.h>

struct parley_fetch {
    /// Absolute; anything but `http` is refused, behind a redirection as well.
    const char *uri;
    /// The body's type, with which the request is a POST; null: it is a GET.
    const char *content_type;
    const uint8_t *body;
    size_t body_count;
    /// A longer answer is given up as soon as it turns out to be one.
    size_t maximum_octets;
    /// For all of it: names, connections, redirections and the answer.
    long milliseconds;
};

#define PARLEY_FETCH_REASON 256

/// Makes the process ready; to be called once, before any thread fetches.
void parley_fetch_prepare(void);
/// Fetches, and waits for the end of it. On success `*octets` is to be freed by the caller, and the answer's status was 200.
/// Else `reason` says what went wrong, and the result is not 0.
int parley_fetch(const struct parley_fetch *request, uint8_t **octets, size_t *count, char reason[PARLEY_FETCH_REASON]);

#endif
