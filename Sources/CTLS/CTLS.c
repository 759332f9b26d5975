#include "CTLS.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct parley_tls {
    SSL_CTX *settings;
    SSL *connection;
    /* The connection's own. */
    BIO *incoming, *outgoing;
    parley_tls_judge judge;
    void *context;
    int received_alert, sent_alert;
};

enum { MAXIMUM_CERTIFICATES = 16, MAXIMUM_CERTIFICATE_OCTETS = 64 * 1024 };

/* With forward secrecy and a certificate of the server's. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:!aNULL:!eNULL:!PSK:!SRP";

static int verdict_error(int verdict) {
    switch (verdict) {
    case PARLEY_TLS_TRUSTED: return X509_V_OK;
    case PARLEY_TLS_UNKNOWN_AUTHORITY: return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    case PARLEY_TLS_EXPIRED: return X509_V_ERR_CERT_HAS_EXPIRED;
    case PARLEY_TLS_REVOKED: return X509_V_ERR_CERT_REVOKED;
    case PARLEY_TLS_BAD_PURPOSE: return X509_V_ERR_INVALID_PURPOSE;
    default: return X509_V_ERR_CERT_REJECTED;
    }
}

static int judge_chain(X509_STORE_CTX *store, void *context) {
    struct parley_tls *tls = context;
    uint8_t *octets[MAXIMUM_CERTIFICATES];
    size_t lengths[MAXIMUM_CERTIFICATES], count = 0;
    STACK_OF(X509) *presented = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(presented) && count < MAXIMUM_CERTIFICATES; i++) {
        octets[count] = NULL;
        int length = i2d_X509(sk_X509_value(presented, i), &octets[count]);
        if (length <= 0) continue;
        lengths[count++] = (size_t)length;
    }
    int verdict = PARLEY_TLS_BAD_CERTIFICATE;
    if (tls->judge && count > 0) verdict = tls->judge(tls->context, (const uint8_t *const *)octets, lengths, count);
    for (size_t i = 0; i < count; i++) OPENSSL_free(octets[i]);
    int error = verdict_error(verdict);
    X509_STORE_CTX_set_error(store, error);
    return error == X509_V_OK;
}

static void note_alert(const SSL *connection, int where, int value) {
    struct parley_tls *tls = SSL_get_app_data(connection);
    /* The upper octet is the level: 2 is fatal. */
    if (!tls || !(where & SSL_CB_ALERT) || value >> 8 != 2) return;
    if (where & SSL_CB_READ) tls->received_alert = value & 0xFF;
    if (where & SSL_CB_WRITE) tls->sent_alert = value & 0xFF;
}

struct parley_tls *parley_tls_create(
    int is_server, int lowest_version, int highest_version, parley_tls_judge judge, void *context) {
    if (!is_server && !judge) return NULL;
    struct parley_tls *tls = calloc(1, sizeof *tls);
    if (!tls) return NULL;
    tls->judge = judge;
    tls->context = context;
    tls->received_alert = tls->sent_alert = -1;
    SSL_CTX *settings = tls->settings = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (!settings) goto failed;
    SSL_CTX_set_security_level(settings, 2);
    if (!SSL_CTX_set_min_proto_version(settings, lowest_version) ||
        !SSL_CTX_set_max_proto_version(settings, highest_version) || !SSL_CTX_set_cipher_list(settings, ciphers))
        goto failed;
    SSL_CTX_set_options(
        settings, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* strongSwan's servers do not speak RFC 5746. We never renegotiate, and whoever put our handshake behind one of its own
     * would have no key of ours. */
    if (!is_server) SSL_CTX_set_options(settings, SSL_OP_LEGACY_SERVER_CONNECT);
    SSL_CTX_set_mode(settings, SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(settings, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(settings, 0);
    SSL_CTX_set_dh_auto(settings, 1);
    SSL_CTX_set_max_cert_list(settings, MAXIMUM_CERTIFICATE_OCTETS);
    SSL_CTX_set_cert_verify_callback(settings, judge_chain, tls);
    SSL_CTX_set_verify(
        settings, judge ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE : SSL_VERIFY_NONE,
        NULL);
    SSL_CTX_set_info_callback(settings, note_alert);
    return tls;
failed:
    parley_tls_destroy(tls);
    return NULL;
}

void parley_tls_destroy(struct parley_tls *tls) {
    if (!tls) return;
    SSL_free(tls->connection);
    SSL_CTX_free(tls->settings);
    free(tls);
    ERR_clear_error();
}

int parley_tls_use_certificate(struct parley_tls *tls, const uint8_t *octets, size_t count, int is_own) {
    const uint8_t *cursor = octets;
    if (count > MAXIMUM_CERTIFICATE_OCTETS) return 0;
    X509 *certificate = d2i_X509(NULL, &cursor, (long)count);
    if (!certificate) return 0;
    int taken = is_own ? SSL_CTX_use_certificate(tls->settings, certificate)
                       : (int)SSL_CTX_add1_chain_cert(tls->settings, certificate);
    X509_free(certificate);
    return taken == 1;
}

int parley_tls_use_key(struct parley_tls *tls, const void *octets, size_t count) {
    if (count > MAXIMUM_CERTIFICATE_OCTETS) return 0;
    BIO *source = BIO_new_mem_buf(octets, (int)count);
    if (!source) return 0;
    /* An empty phrase: without one libcrypto would ask on the terminal where the key is encrypted. */
    EVP_PKEY *key = PEM_read_bio_PrivateKey(source, NULL, NULL, "");
    BIO_free(source);
    if (!key) return 0;
    int taken = SSL_CTX_use_PrivateKey(tls->settings, key);
    EVP_PKEY_free(key);
    return taken == 1 && SSL_CTX_check_private_key(tls->settings) == 1;
}

/* The connection takes the settings as they are when it is made. */
static SSL *connection(struct parley_tls *tls) {
    if (tls->connection) return tls->connection;
    SSL *made = SSL_new(tls->settings);
    BIO *incoming = BIO_new(BIO_s_mem()), *outgoing = BIO_new(BIO_s_mem());
    if (!made || !incoming || !outgoing) {
        SSL_free(made);
        BIO_free(incoming);
        BIO_free(outgoing);
        return NULL;
    }
    /* Nothing there means that more is to come. */
    BIO_set_mem_eof_return(incoming, -1);
    BIO_set_mem_eof_return(outgoing, -1);
    SSL_set_bio(made, incoming, outgoing);
    SSL_set_app_data(made, tls);
    if (SSL_is_server(made)) {
        SSL_set_accept_state(made);
    } else {
        SSL_set_connect_state(made);
    }
    tls->incoming = incoming;
    tls->outgoing = outgoing;
    tls->connection = made;
    return made;
}

int parley_tls_give(struct parley_tls *tls, const uint8_t *records, size_t count) {
    if (count == 0) return 1;
    if (!connection(tls) || count > INT32_MAX) return 0;
    return BIO_write(tls->incoming, records, (int)count) == (int)count;
}

size_t parley_tls_pending(const struct parley_tls *tls) { return tls->outgoing ? BIO_ctrl_pending(tls->outgoing) : 0; }

size_t parley_tls_take(struct parley_tls *tls, uint8_t *records, size_t count) {
    if (!tls->outgoing || count == 0) return 0;
    int taken = BIO_read(tls->outgoing, records, count > INT32_MAX ? INT32_MAX : (int)count);
    return taken > 0 ? (size_t)taken : 0;
}

static int is_waiting(SSL *ssl, int result) {
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

enum parley_tls_result parley_tls_step(struct parley_tls *tls) {
    ERR_clear_error();
    SSL *ssl = connection(tls);
    if (!ssl) return PARLEY_TLS_FAILED;
    int result = SSL_do_handshake(ssl);
    if (result == 1) return PARLEY_TLS_DONE;
    return is_waiting(ssl, result) ? PARLEY_TLS_WAITING : PARLEY_TLS_FAILED;
}

int parley_tls_read(struct parley_tls *tls, void *octets, size_t count) {
    ERR_clear_error();
    SSL *ssl = connection(tls);
    size_t taken = 0;
    if (!ssl) return -1;
    int result = SSL_read_ex(ssl, octets, count > INT32_MAX ? INT32_MAX : count, &taken);
    if (result == 1) return (int)taken;
    return is_waiting(ssl, result) ? 0 : -1;
}

int parley_tls_write(struct parley_tls *tls, const void *octets, size_t count) {
    ERR_clear_error();
    SSL *ssl = connection(tls);
    size_t written = 0;
    return ssl && SSL_write_ex(ssl, octets, count, &written) == 1 && written == count;
}

int parley_tls_export(
    struct parley_tls *tls, const char *label, const uint8_t *seed, size_t seed_count, void *output, size_t count) {
    size_t length = 0;
    while (label[length]) length++;
    return tls->connection && SSL_is_init_finished(tls->connection) &&
           SSL_export_keying_material(tls->connection, output, count, label, length, seed, seed_count, seed != NULL) == 1;
}

int parley_tls_version(const struct parley_tls *tls) { return tls->connection ? SSL_version(tls->connection) : 0; }
int parley_tls_received_alert(const struct parley_tls *tls) { return tls->received_alert; }
int parley_tls_sent_alert(const struct parley_tls *tls) { return tls->sent_alert; }
const char *parley_tls_alert_name(int alert) { return SSL_alert_desc_string_long(alert); }

const char *parley_tls_complaint(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason;
}
