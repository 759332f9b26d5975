#!/usr/bin/env python3
"""Writes Tests/Vectors/esp-older-suites.txt: ESP packets in suites that no RFC prints packets of.

A second, straightforward implementation over the block ciphers and hashes of the package `cryptography`; modes of
operation that decide over bits on the wire (XCBC, nonces, additional data) are written out here. Run it from the root:

    python3 Tests/CryptographyTests/reference/packets.py > Tests/Vectors/esp-older-suites.txt
"""
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia, TripleDES
except ImportError:
    from cryptography.hazmat.primitives.ciphers.algorithms import Camellia, TripleDES


def octets(label, count):
    return b"".join(hashlib.sha512(f"{label}{part}".encode()).digest() for part in range(count // 64 + 1))[:count]


def xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def aes(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block)


def xcbc(key, message):
    """RFC 3566 §4."""
    one, two, three = (aes(key, bytes([number]) * 16) for number in (1, 2, 3))
    blocks = [message[start:start + 16] for start in range(0, len(message), 16)] or [b""]
    chain = bytes(16)
    for block in blocks[:-1]:
        chain = aes(one, xor(block, chain))
    last = blocks[-1]
    last = xor(last, two) if len(last) == 16 else xor(last + b"\x80" + bytes(15 - len(last)), three)
    return aes(one, xor(last, chain))


def cmac(key, message):
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


INTEGRITY = {
    "md5": (16, lambda key, text: hmac.new(key, text, hashlib.md5).digest()[:12]),
    "sha1": (20, lambda key, text: hmac.new(key, text, hashlib.sha1).digest()[:12]),
    "sha256": (32, lambda key, text: hmac.new(key, text, hashlib.sha256).digest()[:16]),
    "aesxcbc": (16, lambda key, text: xcbc(key, text)[:12]),
    "aescmac": (16, lambda key, text: cmac(key, text)[:12]),
}


def chained(algorithm, iv, text):
    encryptor = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return encryptor.update(text)


def counter(key, salt, iv, text):
    """RFC 3686 §4: nonce, IV, block counter from one."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(salt + iv + b"\0\0\0\1")).encryptor()
    return encryptor.update(text)


def galois(key, nonce, additional, text, tag):
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(additional)
    sealed = encryptor.update(text)
    encryptor.finalize()
    return sealed, encryptor.tag[:tag]


def packet(suite, bits, integrity, esn, count):
    label = f"{suite}{bits}{integrity}{esn}{count}"
    spi = octets(label + "spi", 4)
    sequence = (int.from_bytes(octets(label + "sequence", 6), "big") if esn else 0x00C0FFEE).to_bytes(8, "big")
    header = spi + sequence[4:]
    text = octets(label + "text", count)
    key = octets(label + "key", bits // 8)
    additional = spi + sequence if esn else header
    salt, integrity_key, tag = b"", b"", None
    iv = octets(label + "iv", 8)
    if suite == "3des":
        body = iv + chained(TripleDES(key), iv, text)
    elif suite == "null":
        body = text
    elif suite in ("aes", "camellia"):
        iv = octets(label + "iv", 16)
        body = iv + chained((algorithms.AES if suite == "aes" else Camellia)(key), iv, text)
    elif suite == "aesctr":
        salt = octets(label + "salt", 4)
        body = iv + counter(key, salt, iv, text)
    elif suite.endswith("iiv"):
        # RFC 8750 §3: the IV is the extended number, or four zeros and the number; it does not travel.
        salt = octets(label + "salt", 3 if suite.startswith("aesccm") else 4)
        if suite == "aesgcm16iiv":
            sealed, tag = galois(key, salt + sequence, additional, text, 16)
            body = sealed
        else:
            length = 8 if suite.startswith("aesccm") else 16
            cipher = AESCCM(key, length) if length == 8 else ChaCha20Poly1305(key)
            sealed = cipher.encrypt(salt + sequence, text, additional)
            body, tag = sealed[:-length], sealed[-length:]
    elif suite.startswith("aesgcm"):
        salt = octets(label + "salt", 4)
        sealed, tag = galois(key, salt + iv, additional, text, int(suite[6:]))
        body = iv + sealed
    elif suite.startswith("aesccm"):
        salt, length = octets(label + "salt", 3), int(suite[6:])
        sealed = AESCCM(key, length).encrypt(salt + iv, text, additional)
        body, tag = iv + sealed[:-length], sealed[-length:]
    elif suite == "aesgmac":
        salt = octets(label + "salt", 4)
        body = iv + text
        tag = galois(key, salt + iv, additional + body, b"", 16)[1]
    if tag is None:
        length, function = INTEGRITY[integrity]
        integrity_key = octets(label + "integrity", length)
        tag = function(integrity_key, header + body + (sequence[:4] if esn else b""))
    name = (suite if suite in ("null", "3des", "chacha20poly1305iiv") else "") or suite[:3].replace("cam", "camellia") + str(bits) + (
        "" if suite in ("aes", "camellia") else suite[3:])
    fields = dict(suite=name, integrity=integrity, key=(key + salt).hex(), integritykey=integrity_key.hex(),
                  sequence=sequence.hex(), esn="01" if esn else "00", plaintext=text.hex(),
                  packet=(header + body + tag).hex())
    print("\n".join(f"{field}: {value}" for field, value in fields.items()) + "\n")


def main():
    numbers = bytes(range(16))
    # RFC 3566 §4.6, cases 1, 3 and 6.
    assert xcbc(numbers, b"").hex() == "75f0251d528ac01c4573dfd584d79f29"
    assert xcbc(numbers, numbers).hex() == "d2a246fa349b68a79998a4394ff7a263"
    assert xcbc(numbers, bytes(range(34))).hex() == "becbb3bccdb518a30677d5481fb6b4d8"
    print("# Written by Tests/CryptographyTests/reference/packets.py over the package `cryptography`. Fields are")
    print("# hexadecimal except suite and integrity; keys are the cipher's, then the salt.\n")
    suites = [("3des", 192, "md5"), ("3des", 192, "sha1"), ("null", 0, "md5"), ("null", 0, "aesxcbc")]
    suites += [("null", 0, "aescmac"), ("null", 0, "sha256")]
    for bits in (128, 192, 256):
        suites += [("aes", bits, "aesxcbc"), ("aes", bits, "aescmac"), ("camellia", bits, "sha256")]
        suites += [("aesctr", bits, "aesxcbc"), ("aesctr", bits, "sha1"), ("aesgmac", bits, "")]
        suites += [("aesgcm16iiv", bits, ""), ("aesccm8iiv", bits, "")]
        suites += [(f"aes{mode}{tag}", bits, "") for mode in ("gcm", "ccm") for tag in (8, 12, 16)]
    suites.append(("chacha20poly1305iiv", 256, ""))
    for suite, bits, integrity in suites:
        for esn, count in ((False, 64), (True, 112)):
            packet(suite, bits, integrity, esn, count)


if __name__ == "__main__":
    main()
