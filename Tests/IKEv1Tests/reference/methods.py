#!/usr/bin/env python3
"""Makes Tests/Vectors/ikev1-methods.txt: known answers for IKEv1's authentication methods, straight from the equations of
RFC 2409 §5, §5.1 to §5.3 and Appendix B and of RFC 4754, with the package `cryptography` and the keys of
Tests/Vectors/test-keys.txt.
"""
import hashlib
import hmac
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

VECTORS = os.path.join(os.path.dirname(__file__), "..", "..", "Vectors")
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}


def read_keys():
    keys, name = {}, None
    for line in open(os.path.join(VECTORS, "test-keys.txt")):
        if line.startswith("name: "):
            name = line[6:].strip()
        if line.startswith("private: "):
            keys[name] = serialization.load_der_private_key(bytes.fromhex(line[9:].strip()), None)
    return keys


def fill(label, count):
    """Octets that depend on their name alone."""
    octets = b""
    while len(octets) < count:
        octets += hashlib.sha256(f"{label} {len(octets)}".encode()).digest()
    return octets[:count]


def prf(name, key, *parts):
    return hmac.new(key, b"".join(parts), name).digest()


def stretch(name, key, count):
    if len(key) >= count:
        return key[:count]
    result = block = prf(name, key, b"\0")
    while len(result) < count:
        block = prf(name, key, block)
        result += block
    return result[:count]


def bare_rsa(key, digest):
    """The block type 1 of PKCS #1 around the digest alone, and the private operation, in plain arithmetic."""
    numbers = key.private_numbers()
    n, width = numbers.public_numbers.n, (key.key_size + 7) // 8
    block = b"\0\1" + b"\xff" * (width - 3 - len(digest)) + b"\0" + digest
    return pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes(width, "big")


def pair_of_numbers(key, digest, size):
    algorithm = next(h for h in HASHES.values() if h.digest_size == len(digest))
    prehashed = utils.Prehashed(algorithm)
    if isinstance(key, dsa.DSAPrivateKey):
        r, s = utils.decode_dss_signature(key.sign(digest, prehashed))
    else:
        r, s = utils.decode_dss_signature(key.sign(digest, ec.ECDSA(prehashed)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def rsa_encrypt(key, message):
    """PKCS #1's block type 2 with a padding that depends on the message alone, so that the record can be made again."""
    numbers = key.public_key().public_numbers()
    width = (key.key_size + 7) // 8
    pad = bytes(b or 1 for b in fill("padding " + message.hex(), width - 3 - len(message)))
    return pow(int.from_bytes(b"\0\2" + pad + b"\0" + message, "big"), numbers.e, numbers.n).to_bytes(width, "big")


def cbc_chain(key, bodies):
    """RFC 2409 §5.3: the IV is zero, then the last block of the payload before."""
    iv, result = bytes(16), []
    for body in bodies:
        zeros = 15 - len(body) % 16
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        result.append(encryptor.update(body + bytes(zeros) + bytes([zeros])) + encryptor.finalize())
        iv = result[-1][-16:]
    return result


def main():
    keys = read_keys()
    cases = [
        # method, hash, cipher bits, hash of the signature, keys of the initiator and the responder, size of r and s
        (2, "sha256", 256, "sha1", "dsa-left", "dsa-right", None),
        (3, "sha1", 128, "sha1", "rsa-left", "rsa-right", None),
        (3, "sha512", 256, "sha512", "rsa-left", "rsa-other", None),
        (9, "sha1", 256, "sha256", "ecdsa-256-left", "ecdsa-256-right", 32),
        (10, "sha256", 256, "sha384", "ecdsa-384-left", "ecdsa-384-right", 48),
        (11, "sha384", 128, "sha512", "ecdsa-521-left", "ecdsa-521-right", 66),
        (4, "sha1", 256, "sha1", "rsa-left", "rsa-right", None),
        (4, "sha256", 128, "sha256", "rsa-left", "rsa-other", None),
        (5, "sha1", 256, "sha1", "rsa-left", "rsa-right", None),
        (5, "sha384", 192, "sha384", "rsa-left", "rsa-odd", None),
    ]
    with open(os.path.join(VECTORS, "ikev1-methods.txt"), "w") as out:
        out.write("# Known answers for RFC 2409 §5.1 to §5.3, made by Tests/IKEv1Tests/reference/methods.py.\n\n")
        for number, (method, name, bits, signed, left, right, size) in enumerate(cases):
            v = {label: fill(f"{number} {label}", count) for label, count in [
                ("cookieI", 8), ("cookieR", 8), ("nonceI", 32), ("nonceR", 20), ("valueI", 256), ("valueR", 256),
                ("sharedSecret", 256), ("offer", 56)]}
            v["identityI"] = bytes([2, 0, 0, 0]) + b"left.example"
            v["identityR"] = bytes([2, 0, 0, 0]) + b"right.example"
            cookies = v["cookieI"] + v["cookieR"]
            if method in (4, 5):
                digest = hashlib.new(name, v["nonceI"] + v["nonceR"]).digest()
                v["skeyid"] = prf(name, digest, cookies)
            else:
                v["skeyid"] = prf(name, v["nonceI"] + v["nonceR"], v["sharedSecret"])
            tail = v["sharedSecret"] + cookies
            v["skeyid_d"] = prf(name, v["skeyid"], tail, b"\0")
            v["skeyid_a"] = prf(name, v["skeyid"], v["skeyid_d"], tail, b"\1")
            skeyid_e = prf(name, v["skeyid"], v["skeyid_a"], tail, b"\2")
            v["cipherKey"] = stretch(name, skeyid_e, bits // 8)
            v["iv"] = hashlib.new(name, v["valueI"] + v["valueR"]).digest()[:16]
            v["hashI"] = prf(
                signed, v["skeyid"], v["valueI"], v["valueR"], v["cookieI"], v["cookieR"], v["offer"], v["identityI"])
            v["hashR"] = prf(
                signed, v["skeyid"], v["valueR"], v["valueI"], v["cookieR"], v["cookieI"], v["offer"], v["identityR"])
            for end, key in (("I", keys[left]), ("R", keys[right])):
                other = keys[right] if end == "I" else keys[left]
                if method == 3:
                    v["signature" + end] = bare_rsa(key, v["hash" + end])
                elif method in (2, 9, 10, 11):
                    half = size or key.parameters().parameter_numbers().q.bit_length() // 8
                    v["signature" + end] = pair_of_numbers(key, v["hash" + end], half)
                elif method == 4:
                    v["encryptedIdentity" + end] = rsa_encrypt(other, v["identity" + end])
                    v["encryptedNonce" + end] = rsa_encrypt(other, v["nonce" + end])
                else:
                    v["encryptedNonce" + end] = rsa_encrypt(other, v["nonce" + end])
                    v["ephemeralKey" + end] = stretch(
                        name, prf(name, v["nonce" + end], v["cookie" + end]), bits // 8)
                    v["sealedValue" + end], v["sealedIdentity" + end] = cbc_chain(
                        v["ephemeralKey" + end], [v["value" + end], v["identity" + end]])
            out.write(f"method: {method}\nhash: {name}\nbits: {bits}\nkeyI: {left}\nkeyR: {right}\n")
            for label, octets in v.items():
                out.write(f"{label}: {octets.hex()}\n")
            out.write("\n")


if __name__ == "__main__":
    main()
