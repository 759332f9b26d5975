#!/usr/bin/env python3
"""Writes Tests/Vectors/oakley-descriptions.txt: groups given in full, sound ones and hostile ones.

`expect` is `sound` or the defect that a check must find. Numbers are found with Python integers; the safe prime comes
from `openssl prime`. Run it from the root of the repository:

    python3 Tests/OakleyTests/reference/descriptions.py > Tests/Vectors/oakley-descriptions.txt
"""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from groups import BINARY, CURVES, SUBGROUPS, BinaryField, PrimeField, is_prime, multiply  # noqa: E402

random.seed(2409)
SMALL = [number for number in range(3, 2000, 2) if all(number % factor for factor in range(3, number, 2))]


def find_prime(bits, fits=lambda p: True):
    while True:
        p = random.getrandbits(bits) | 1 << bits - 1 | 1 << bits - 2 | 1
        if all(p % small for small in SMALL) and is_prime(p) and fits(p):
            return p


def record(name, kind, expect, **numbers):
    print(f"name: {name}\nkind: {kind}\nexpect: {expect}")
    for field, number in numbers.items():
        digits = f"{number:x}"
        print(f"{field}: {'0' * (len(digits) % 2)}{digits}")
    print()


def modp():
    safe = int(subprocess.run(["openssl", "prime", "-generate", "-safe", "-bits", "1024"], capture_output=True,
                              check=True, text=True).stdout)
    assert is_prime(safe) and is_prime(safe // 2)
    square = pow(3, 2, safe)
    record("a safe prime", "modp", "sound", prime=safe, g=square)
    record("a safe prime and its order", "modp", "sound", prime=safe, g=square, order=safe // 2)
    record("a generator of the whole group", "modp", "sound", prime=safe,
           g=next(g for g in range(2, 99) if pow(g, safe // 2, safe) != 1), order=safe - 1)
    record("half an order too little", "modp", "generatorOrder", prime=safe,
           g=next(g for g in range(2, 99) if pow(g, safe // 2, safe) != 1), order=safe // 2)
    for g in (0, 1, safe - 1, safe, safe + 1):
        record("a generator of order one or two or outside", "modp", "generatorOrder", prime=safe, g=g)
    other = find_prime(1024)
    record("a product of two primes", "modp", "notPrime", prime=find_prime(512) * find_prime(512), g=2)
    while True:  # a Carmichael number: Fermat's test takes it for a prime
        k = random.getrandbits(265) | 1 << 264
        factors = (6 * k + 1, 12 * k + 1, 18 * k + 1)
        if all(f % small for f in factors for small in SMALL) and all(map(is_prime, factors)):
            break
    carmichael = factors[0] * factors[1] * factors[2]
    assert pow(2, carmichael - 1, carmichael) == 1 and not is_prime(carmichael)
    record("a Carmichael number", "modp", "notPrime", prime=carmichael, g=2)
    record("an even number", "modp", "notPrime", prime=safe + 1, g=2)
    record("a prime that is not safe", "modp", "notSafe", prime=other, g=2)
    record("an order that divides nothing", "modp", "order", prime=other, g=2, order=find_prime(256))
    record("too small a prime", "modp", "size", prime=find_prime(700), g=2)
    record("too large a prime", "modp", "size", prime=(1 << 8200) + 1, g=2)
    record("zero", "modp", "size", prime=0, g=0)
    p, g, q = (int("".join(text.split()), 16) for text in SUBGROUPS[22])
    near = pow(g, 2, p)
    record("a subgroup", "modp", "sound", prime=p, g=near, order=q)
    record("a generator outside its subgroup", "modp", "generatorOrder", prime=p, g=2, order=q)
    record("an order left out", "modp", "notSafe", prime=p, g=near)
    small, large = find_prime(100), find_prime(160)
    while True:
        k = 2 * small * random.getrandbits(1024 - 262) * large
        if k.bit_length() > 1000 and all((k + 1) % factor for factor in SMALL) and is_prime(k + 1):
            break
    h = next(pow(a, k // small, k + 1) for a in range(2, 99) if pow(a, k // small, k + 1) != 1)
    record("an order of 100 bits", "modp", "order", prime=k + 1, g=h, order=small)
    h = next(pow(a, k // (small * large), k + 1) for a in range(2, 99) if pow(a, k // small, k + 1) != 1)
    record("an order of two primes", "modp", "order", prime=k + 1, g=h, order=small * large)


def ecp():
    p, gx = 2**256 - 2**32 - 977, 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
    gy = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8
    n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    assert multiply(PrimeField(p, 0, 7), n, (gx, gy)) is None
    sound = dict(prime=p, a=0, b=7, x=gx, y=gy, order=n)
    record("secp256k1", "ecp", "sound", **sound)
    record("secp256k1 without y", "ecp", "sound", **{f: v for f, v in sound.items() if f != "y"})
    record("a point off the curve", "ecp", "generatorOffCurve", **{**sound, "y": gy + 1})
    x = next(x for x in range(2, 99) if pow(x**3 + 7, p // 2, p) == p - 1)
    record("an x of no point", "ecp", "generatorOffCurve", **{f: v for f, v in {**sound, "x": x}.items() if f != "y"})
    record("a singular curve", "ecp", "singular", **{**sound, "a": p - 3, "b": 2})
    record("a cusp", "ecp", "singular", **{**sound, "a": 0, "b": 0})
    record("a number outside the field", "ecp", "outOfField", **{**sound, "b": p + 7})
    record("a composite modulus", "ecp", "notPrime", **{**sound, "prime": p + 2, "a": 0})
    record("another prime for an order", "ecp", "generatorOrder",
           **{**sound, "order": next(m for m in range(n + 2, n + 9999, 2) if is_prime(m))})
    record("an even order", "ecp", "order", **{**sound, "order": n - 1})
    record("an order beyond Hasse's bounds", "ecp", "order", **{**sound, "order": find_prime(253)})
    record("a curve said to be anomalous", "ecp", "weakCurve", **{**sound, "order": p})
    record("too small a field", "ecp", "size", prime=find_prime(112), a=1, b=1, x=1, y=1, order=1)
    record("too large a field", "ecp", "size", **{**sound, "prime": (1 << 600) + 1})
    # Supersingular: y^2 = x^3 + 1 over p = 2 (mod 3) has p + 1 points.
    p = find_prime(224, lambda p: p % 3 == 2 and (p + 1) % 12 == 6 and is_prime((p + 1) // 6))
    curve, r = PrimeField(p, 0, 1), (p + 1) // 6
    while True:
        y = random.randrange(p)
        G = multiply(curve, 6, (pow(y * y - 1, pow(3, -1, p - 1), p), y))
        if G is not None:
            break
    assert multiply(curve, r, G) is None and curve.on(G)
    record("a supersingular curve", "ecp", "weakCurve", prime=p, a=0, b=1, x=G[0], y=G[1], order=r)
    # Curve25519 as y^2 = x^3 + ax + b: eight times a prime.
    p, A = 2**255 - 19, 486662
    third = pow(3, -1, p)
    a, b = (3 - A * A) * third % p, (2 * A**3 - 9 * A) * pow(27, -1, p) % p
    curve, r = PrimeField(p, a, b), 2**252 + 27742317777372353535851937790883648493
    G = ((9 + A * third) % p, 14781619447589544791020593568409986887264606134616475288964881837755586237401)
    assert curve.on(G) and multiply(curve, r, G) is None
    record("a curve with a cofactor", "ecp", "sound", prime=p, a=a, b=b, x=G[0], y=G[1], order=r, small=A * third % p)
    record("the order of the whole group", "ecp", "sound", prime=p, a=a, b=b, x=G[0], y=G[1], order=8 * r)
    record("a generator of order two", "ecp", "generatorOrder", prime=p, a=a, b=b, x=A * third % p, y=0, order=r)


def ec2n():
    sect = BinaryField(163, 0, 1)
    sect.poly = 1 << 163 | 0xC9
    x = 0x02FE13C0537BBC11ACAA07D793DE4E6D5E5C94EEE8
    y = 0x0289070FB05D38FF58321F2E800536D538CCDAA3D9
    n = 0x04000000000000000000020108A2E0CC0D99F8A5EF
    sound = dict(prime=sect.poly, a=1, b=1, x=x, y=y, order=n)
    record("sect163k1", "ec2n", "sound", **sound)
    record("sect163k1 without y", "ec2n", "sound", **{f: v for f, v in sound.items() if f != "y"})
    record("a point off the curve", "ec2n", "generatorOffCurve", **{**sound, "y": y ^ 1})
    record("a singular curve", "ec2n", "singular", **{**sound, "b": 0})
    record("a number outside the field", "ec2n", "outOfField", **{**sound, "a": 1 << 163})
    # u^163 + u^7 + u^6 + u^3 + 1 is irreducible; with other middle terms it has factors, none of them linear.
    record("a reducible polynomial", "ec2n", "notIrreducible", **{**sound, "prime": 1 << 163 | 1 << 2 | 1})
    record("a polynomial with a root", "ec2n", "notIrreducible", **{**sound, "prime": 1 << 163 | 0xC8})
    record("another order", "ec2n", "generatorOrder",
           **{**sound, "order": next(m for m in range(n + 2, n + 9999, 2) if is_prime(m))})
    m, k, b, gx, order, _ = BINARY[3]
    third = dict(prime=1 << m | 1 << k | 1, a=0, b=b, x=gx, order=order)
    record("Oakley's third group", "ec2n", "sound", **third)
    record("a composite degree", "ec2n", "compositeDegree", **{**third, "b": b + 1})


if __name__ == "__main__":
    print("# Written by Tests/OakleyTests/reference/descriptions.py: groups given in full (RFC 2409 Appendix A) and what a")
    print("# check must find. Fields are hexadecimal except name, kind and expect.\n")
    modp()
    ecp()
    ec2n()
