// TLS 1.2 and 1.3 by libssl, between two buffers in memory: no sockets, no sessions that outlive a connection, and no
// judgement over certificates, which is the caller's. A connection belongs to one thread at a time.
#ifndef PARLEY_CTLS_H
#define PARLEY_CTLS_H

#include <stddef.h>
#include <stdint.h>

struct parley_tls;

/// What the caller says of the peer's certificates; it chooses the alert (RFC 8446 section 6.2).
enum parley_tls_verdict {
    PARLEY_TLS_TRUSTED = 0,
    PARLEY_TLS_UNKNOWN_AUTHORITY,
    PARLEY_TLS_EXPIRED,
    PARLEY_TLS_REVOKED,
    PARLEY_TLS_BAD_PURPOSE,
    PARLEY_TLS_BAD_CERTIFICATE,
};

/// Judges `count` certificates in DER, the peer's own first. They live for the time of the call.
typedef int (*parley_tls_judge)(
    void *context, const uint8_t *const *certificates, const size_t *lengths, size_t count);

enum parley_tls_result { PARLEY_TLS_FAILED = -1, PARLEY_TLS_WAITING = 0, PARLEY_TLS_DONE = 1 };

/// NULL where libssl has no memory or knows no such version. Versions are those of the wire: 0x0303 and 0x0304.
/// `context` is handed to `judge`; with `judge` NULL no certificate of the peer's is asked for, which a client may not do.
struct parley_tls *parley_tls_create(
    int is_server, int lowest_version, int highest_version, parley_tls_judge judge, void *context);
void parley_tls_destroy(struct parley_tls *tls);

/// Before the first `step`: our own key as PKCS #8 in PEM, and certificates in DER, our own first. 1: taken.
int parley_tls_use_certificate(struct parley_tls *tls, const uint8_t *certificate, size_t count, int is_own);
int parley_tls_use_key(struct parley_tls *tls, const void *key, size_t count);

/// Records from the peer. 1: taken.
int parley_tls_give(struct parley_tls *tls, const uint8_t *records, size_t count);
/// Octets of records that wait to be sent, and up to `count` of them.
size_t parley_tls_pending(const struct parley_tls *tls);
size_t parley_tls_take(struct parley_tls *tls, uint8_t *records, size_t count);

/// Goes on with the handshake.
enum parley_tls_result parley_tls_step(struct parley_tls *tls);
/// Up to `count` octets that the peer said: how many, 0 where there are none yet, -1 where the connection broke or ended.
int parley_tls_read(struct parley_tls *tls, void *octets, size_t count);
/// 1: all is on its way.
int parley_tls_write(struct parley_tls *tls, const void *octets, size_t count);

/// RFC 5705, and RFC 8446 section 7.5: `label` ends with a zero; `seed` NULL: without context. 1: `output` is filled.
int parley_tls_export(
    struct parley_tls *tls, const char *label, const uint8_t *seed, size_t seed_count, void *output, size_t count);
/// The version of the wire.
int parley_tls_version(const struct parley_tls *tls);
/// The number of the fatal alert that the peer sent, or that we did; -1: none.
int parley_tls_received_alert(const struct parley_tls *tls);
int parley_tls_sent_alert(const struct parley_tls *tls);
/// An alert's name by number. Static storage.
const char *parley_tls_alert_name(int alert);
/// What libssl last complained about on this thread; the complaint is then forgotten. Static storage, or NULL.
const char *parley_tls_complaint(void);

#endif
