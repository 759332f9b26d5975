#!/usr/bin/env python3
"""Known answers for the exchanges of ISAKMP, Oakley and SKEME, from the standards' equations alone.

Needs the package `cryptography`. Writes Tests/Vectors/key-determination-modes.txt. Every value is computed here from the
equations of RFC 2408 (with Parley's DOI 0), RFC 2412 and Krawczyk 1996; nothing is taken from Parley's own code.
"""
import hashlib
import hmac
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SA, KE, ID, HASH, NONCE = 1, 4, 5, 8, 10
CKY_I, CKY_R = bytes.fromhex("0102030405060708"), bytes.fromhex("1112131415161718")
ID_I, ID_R = b"\x02\0\0\0left.example", b"\x02\0\0\0right.example"
ID_PUBLIC = b"\x02\0\0\0gate.example"
PSK = b"a key of this test"
PARENT = bytes(range(32))
EXTERNAL = b"a key from elsewhere"
DESCRIPTOR = bytes.fromhex("0102030405")


def prf(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


class Generator:
    """SplitMix64, whose words are written least significant octet first."""

    def __init__(self, seed):
        self.state = seed

    def word(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        word = self.state
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    def octets(self, count):
        return b"".join(struct.pack("<Q", self.word()) for _ in range((count + 7) // 8))[:count]


def pair(seed):
    private = X25519PrivateKey.from_private_bytes(Generator(seed).octets(32))
    return private, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def shared(private, public):
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def words(value):
    """RFC 2412 Appendix C."""
    digits = value.lstrip(b"\0")
    count = (len(digits) + 3) // 4
    return struct.pack(">I", count) + digits.rjust(count * 4, b"\0")


def framed(value):
    return struct.pack(">I", len(value)) + value


def association(method, group, number=1):
    """An SA payload's body (RFC 2408 §3.4 to §3.6), DOI 0, one proposal, one transform."""
    attributes = b""
    for kind, value in [(1, 65001), (14, 256), (2, 4), (3, method)] + ([(4, group)] if group else []):
        attributes += struct.pack(">HH", 0x8000 | kind, value)
    transform = struct.pack(">BBHBBH", 0, 0, 8 + len(attributes), number, 1, 0) + attributes
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(transform), 1, 1, 0, 1) + transform
    return struct.pack(">I", 0) + proposal


def sealed(*parts):
    """What stands for public-key encryption in the test: the plaintext behind an octet."""
    return b"\xEE" + b"".join(struct.pack(">H", len(part)) + part for part in parts)


def write(name, method, group, messages, key, key_name, nonces):
    print(f"test: {name}")
    print(f"method: {method}")
    print(f"group: {group}")
    for field, value in nonces.items():
        print(f"{field}: {value.hex()}")
    print(f"count: {len(messages)}")
    for number, message in enumerate(messages):
        print(f"message{number + 1}: {' '.join(f'{kind}:{body.hex()}' for kind, body in message)}")
    print(f"key: {key.hex()}")
    print(f"keyName: {key_name.hex()}")
    print()


NI, NR = bytes(range(0x20, 0x40)), bytes(range(0x60, 0x80))
SEED_I, SEED_R = 5, 6
PRIVATE_I, X = pair(SEED_I)
PRIVATE_R, Y = pair(SEED_R)
XY = shared(PRIVATE_I, Y)
COOKIES = CKY_I + CKY_R


def isakmp(name, method=1):
    group = 0 if name == "Authentication Only" else 31
    offer = association(method, group)
    auth_key = prf(PSK, NI + NR)

    def auth(role, *fields):
        return prf(auth_key, bytes([role]) + COOKIES
                   + b"".join(framed(value) for value in (offer, offer, NI, NR) + fields))

    seed = prf(NI + NR, XY + COOKIES)
    key = b"" if group == 0 else prf(seed, b"\x02")
    both = auth(2, X, Y, ID_I, ID_R)
    messages = {
        "Base": [
            [(SA, offer), (NONCE, NI)], [(SA, offer), (NONCE, NR)],
            [(KE, X), (ID, ID_I), (HASH, auth(1, X, ID_I))], [(KE, Y), (ID, ID_R), (HASH, both)]],
        "Identity Protection": [
            [(SA, offer)], [(SA, offer)], [(KE, X), (NONCE, NI)], [(KE, Y), (NONCE, NR)],
            [(ID, ID_I), (HASH, auth(1, X, Y, ID_I))], [(ID, ID_R), (HASH, both)]],
        "Authentication Only": [
            [(SA, offer), (NONCE, NI)], [(SA, offer), (NONCE, NR), (ID, ID_R), (HASH, auth(2, ID_R))],
            [(ID, ID_I), (HASH, auth(1, ID_R, ID_I))]],
        "Aggressive": [
            [(SA, offer), (KE, X), (NONCE, NI), (ID, ID_I)],
            [(SA, offer), (KE, Y), (NONCE, NR), (ID, ID_R), (HASH, both)], [(HASH, auth(1, X, Y, ID_I, ID_R))]],
    }[name]
    write(name, method, group, messages, key, COOKIES if key else b"", {"ni": NI, "nr": NR})


def oakley(name, method, group):
    offer = association(method, group)
    grp = struct.pack(">I", group)
    x, y, ni, nr = words(X), words(Y), words(NI), words(NR)
    null = words(b"")
    ids, reverse = framed(ID_I) + framed(ID_R), framed(ID_R) + framed(ID_I)
    nonces = {"ni": ni, "nr": nr}
    key = prf(ni + nr, XY + COOKIES)
    key_name = COOKIES
    if name == "Oakley aggressive":
        messages = [
            [(SA, offer), (KE, x), (ID, ID_I), (ID, ID_R), (NONCE, ni),
             (HASH, prf(PSK, ids + ni + null + grp + x + null + offer))],
            [(SA, offer), (KE, y), (ID, ID_R), (ID, ID_I), (NONCE, nr), (NONCE, ni),
             (HASH, prf(PSK, reverse + nr + ni + grp + y + x + offer))],
            [(SA, offer), (KE, x), (ID, ID_I), (ID, ID_R), (NONCE, ni), (NONCE, nr),
             (HASH, prf(PSK, ids + ni + nr + grp + x + y + offer))]]
    elif name == "Oakley with hidden identities":
        nonces = {"si": NI, "sr": NR}
        kir = prf(b"", NI + NR)
        key = prf(NI + NR, XY + COOKIES)
        messages = [
            [(SA, offer), (KE, x), (ID, ID_PUBLIC), (NONCE, sealed(ID_I, ID_R, sealed(NI)))],
            [(SA, offer), (KE, y), (NONCE, sealed(ID_R, ID_I, NR)), (HASH, prf(kir, reverse + grp + y + x + offer))],
            [(HASH, prf(kir, ids + grp + x + y + offer))]]
    elif name == "Oakley without Diffie-Hellman":
        ki, kr = bytes(range(0x80, 0xA0)), bytes(range(0xA0, 0xC0))
        nonces |= {"ki": ki, "kr": kr}
        kir = prf(b"", ki + kr)
        key = prf(kir, COOKIES)
        messages = [
            [(SA, offer), (ID, ID_PUBLIC), (NONCE, sealed(ID_I, ID_R, ki)), (NONCE, ni)],
            [(SA, offer), (NONCE, sealed(ID_R, ID_I, kr)), (NONCE, nr), (HASH, prf(kir, reverse + nr + ni + offer))],
            [(SA, offer), (HASH, prf(kir, ids + ni + nr + offer))]]
    elif name == "Oakley conservative":
        nonces = {"si": NI, "sr": NR}
        kir = prf(b"", NI + NR)
        key = prf(NI + NR, XY + COOKIES)
        messages = [
            [], [], [(SA, offer), (KE, x)], [(SA, offer), (KE, y)],
            [(KE, x), (ID, ID_I), (ID, ID_R), (NONCE, sealed(NI))],
            [(NONCE, sealed(NR, NI)), (ID, ID_R), (ID, ID_I), (HASH, prf(kir, reverse + grp + y + x + offer))],
            [(HASH, prf(kir, ids + grp + x + y + offer))]]
    elif name == "Oakley conservative, signed":
        messages = [
            [], [], [(SA, offer), (KE, x)], [(SA, offer), (KE, y)],
            [(KE, x), (ID, ID_I), (ID, ID_R), (NONCE, ni)],
            [(NONCE, nr), (NONCE, ni), (ID, ID_R), (ID, ID_I),
             (HASH, prf(PSK, reverse + nr + ni + grp + y + x + offer))],
            [(HASH, prf(PSK, ids + ni + nr + grp + x + y + offer))]]
    elif name == "Oakley quick":
        key, key_name = prf(PARENT, ni + nr), ni + nr
        messages = [
            [(NONCE, ni), (HASH, prf(PARENT, ni))], [(NONCE, nr), (HASH, prf(PARENT, b"\1" + nr + ni))],
            [(HASH, prf(PARENT, b"\0" + ni + nr))]]
    elif name == "Oakley external key":
        kir = prf(PARENT, ni + nr)
        key, key_name = EXTERNAL, prf(PARENT, b"\1" + ni + nr)
        messages = [
            [(NONCE, ni), (HASH, prf(PARENT, ni))], [(NONCE, nr), (HASH, prf(PARENT, b"\1" + nr + ni))],
            [(KE, bytes(a ^ b for a, b in zip(kir, EXTERNAL))), (HASH, prf(kir, EXTERNAL + ni + nr))]]
    else:
        assert name == "Oakley new group"
        key, key_name = b"", b""
        messages = [
            [(KE, DESCRIPTOR), (NONCE, ni), (HASH, prf(PARENT, DESCRIPTOR + ni))],
            [(NONCE, ni), (NONCE, nr), (HASH, prf(PARENT, ni + nr + DESCRIPTOR))],
            [(HASH, prf(PARENT, nr + ni + DESCRIPTOR))]]
    write(name, method, group, messages, key, key_name, nonces)


def skeme(name, method, group):
    offer = association(method, group)
    a, b = framed(ID_I), framed(ID_R)
    ka, kb = bytes(range(0x80, 0xA0)), bytes(range(0xA0, 0xC0))
    nonces = {"ni": NI, "nr": NR, "ka": ka, "kb": kb}
    k0 = {"SKEME pre-shared key": PSK, "SKEME fast re-key": PARENT}.get(name, prf(b"", ka + kb))
    first, second = (X, Y) if group else (NI, NR)
    proof_b = prf(k0, first + second + b + a)
    proof_a = prf(k0, second + first + a + b)
    key = prf(b"", XY) if group else prf(k0, proof_a)
    messages = {
        "SKEME basic": [
            [(SA, offer), (ID, ID_R), (NONCE, sealed(ID_I, ka)), (KE, X)],
            [(SA, offer), (NONCE, sealed(kb)), (KE, Y), (HASH, proof_b)], [(HASH, proof_a)]],
        "SKEME share only": [
            [(SA, offer), (ID, ID_R), (NONCE, sealed(ID_I, ka)), (NONCE, NI)],
            [(SA, offer), (NONCE, sealed(kb)), (NONCE, NR), (HASH, proof_b)], [(HASH, proof_a)]],
        "SKEME pre-shared key": [
            [(SA, offer), (ID, ID_I), (ID, ID_R), (KE, X)], [(SA, offer), (KE, Y), (HASH, proof_b)],
            [(HASH, proof_a)]],
        "SKEME fast re-key": [[(NONCE, NI)], [(NONCE, NR), (HASH, proof_b)], [(HASH, proof_a)]],
    }[name]
    write(name, method, group, messages, key, NI + NR if name == "SKEME fast re-key" else COOKIES, nonces)


if __name__ == "__main__":
    sys.stdout = open("Tests/Vectors/key-determination-modes.txt", "w", encoding="utf-8")
    print("# Written by Tests/KeyDeterminationModesTests/reference/modes.py from the equations of RFC 2408 (DOI 0),")
    print("# RFC 2412 and Krawczyk 1996, with Python's hmac and the package cryptography. Payloads are TYPE:BODY.\n")
    for exchange in ("Base", "Identity Protection", "Authentication Only", "Aggressive"):
        isakmp(exchange)
    oakley("Oakley aggressive", 1, 31)
    oakley("Oakley with hidden identities", 4, 31)
    oakley("Oakley without Diffie-Hellman", 4, 0)
    oakley("Oakley conservative", 4, 31)
    oakley("Oakley conservative, signed", 1, 31)
    for exchange in ("Oakley quick", "Oakley external key", "Oakley new group"):
        oakley(exchange, 1, 31)
    skeme("SKEME basic", 4, 31)
    skeme("SKEME share only", 4, 0)
    skeme("SKEME pre-shared key", 1, 31)
    skeme("SKEME fast re-key", 1, 0)
