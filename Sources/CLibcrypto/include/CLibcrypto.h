#ifndef PARLEY_CLIBCRYPTO_H
#define PARLEY_CLIBCRYPTO_H

#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/des.h>
#include <openssl/dh.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/md4.h>
#include <openssl/md5.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/proverr.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

/* Swift does not import macros made of other macros' parts. */
static const int PARLEY_PKEY_KEYPAIR = EVP_PKEY_KEYPAIR;

/* How many candidates for the length of a synthetic message are drawn. */
enum { PARLEY_PKCS1_CANDIDATES = 128 };

/* Takes the padding of EME-PKCS1-v1_5 (RFC 2437 section 9.1.2) off `block`, in time and with memory accesses that depend
 * on `width` alone. Where it does not hold, where the message would not be `shortest` to `longest` octets long, or where
 * `usable` is not 1, the message is the end of `synthetic`, as long as the last of `candidates` (two octets each) that
 * fits says. The message is the end of `output`; its length is returned.
 *
 * `block`, `synthetic` and `output` have `width` octets, 11 to 65,535; `longest` is `width - 11` at most. */
uint32_t parley_pkcs1_unpad(
    const uint8_t *block, const uint8_t *synthetic, const uint8_t *candidates, uint32_t width, uint32_t shortest,
    uint32_t longest, uint32_t usable, uint8_t *output);

/* MD4 of `count` octets: 16 octets. */
void parley_md4(const void *octets, size_t count, void *digest);

/* One block of DES: a key of seven octets without parity bits, eight octets in, eight out. */
void parley_des_block(const void *key, const uint8_t *input, uint8_t *output);

/* Frees a stack of certificates with what it holds: the typed functions are macros, which Swift does not import. */
void parley_free_certificates(void *stack);

#endif
