#!/usr/bin/env python3
"""Writes Tests/Vectors/oakley-groups.txt: known answers for the groups that no published vectors cover.

A second, straightforward implementation: Python integers, affine points, no library but for the two large brainpool
curves, which the package `cryptography` computes. Run it from the root of the repository:

    python3 Tests/OakleyTests/reference/groups.py > Tests/Vectors/oakley-groups.txt
"""
import hashlib

SAFE_768 = int("""FFFFFFFF FFFFFFFF C90FDAA2 2168C234 C4C6628B 80DC1CD1 29024E08 8A67CC74 020BBEA6 3B139B22 514A0879
8E3404DD EF9519B3 CD3A431B 302B0A6D F25F1437 4FE1356D 6D51C245 E485B576 625E7EC6 F44C42E9 A63A3620 FFFFFFFF
FFFFFFFF""".replace("\n", "").replace(" ", ""), 16)

# RFC 5114 §2.1-2.3: prime, generator, order.
SUBGROUPS = {
    22: ("""B10B8F96A080E01DDE92DE5EAE5D54EC52C99FBCFB06A3C69A6A9DCA52D23B616073E28675A23D189838EF1E2EE652C013ECB4AE
        A906112324975C3CD49B83BFACCBDD7D90C4BD7098488E9C219A73724EFFD6FAE5644738FAA31A4FF55BCCC0A151AF5F0DC8B4BD
        45BF37DF365C1A65E68CFDA76D4DA708DF1FB2BC2E4A4371""", """A4D1CBD5C3FD34126765A442EFB99905F8104DD258AC507FD6406CFF14266D31266FEA1E5C41564B777E690F5504F213160217B4
        B01B886A5E91547F9E2749F4D7FBD7D3B9A92EE1909D0D2263F80A76A6A24C087A091F531DBF0A0169B6A28AD662A4D18E73AFA3
        2D779D5918D08BC8858F4DCEF97C2A24855E6EEB22B3B2E5""", "F518AA8781A8DF278ABA4E7D64B7CB9D49462353"),
    23: ("""AD107E1E9123A9D0D660FAA79559C51FA20D64E5683B9FD1B54B1597B61D0A75E6FA141DF95A56DBAF9A3C407BA1DF15EB3D688A
        309C180E1DE6B85A1274A0A66D3F8152AD6AC2129037C9EDEFDA4DF8D91E8FEF55B7394B7AD5B7D0B6C12207C9F98D11ED34DBF6
        C6BA0B2C8BBC27BE6A00E0A0B9C49708B3BF8A317091883681286130BC8985DB1602E714415D9330278273C7DE31EFDC7310F712
        1FD5A07415987D9ADC0A486DCDF93ACC44328387315D75E198C641A480CD86A1B9E587E8BE60E69CC928B2B9C52172E413042E9B
        23F10B0E16E79763C9B53DCF4BA80A29E3FB73C16B8E75B97EF363E2FFA31F71CF9DE5384E71B81C0AC4DFFE0C10E64F""", """AC4032EF4F2D9AE39DF30B5C8FFDAC506CDEBE7B89998CAF74866A08CFE4FFE3A6824A4E10B9A6F0DD921F01A70C4AFAAB739D77
        00C29F52C57DB17C620A8652BE5E9001A8D66AD7C17669101999024AF4D027275AC1348BB8A762D0521BC98AE247150422EA1ED4
        09939D54DA7460CDB5F6C6B250717CBEF180EB34118E98D119529A45D6F834566E3025E316A330EFBB77A86F0C1AB15B051AE3D4
        28C8F8ACB70A8137150B8EEB10E183EDD19963DDD9E263E4770589EF6AA21E7F5F2FF381B539CCE3409D13CD566AFBB48D6C0191
        81E1BCFE94B30269EDFE72FE9B6AA4BD7B5A0F1C71CFFF4C19C418E1F6EC017981BC087F2A7065B384B890D3191F2BFA""", "801C0D34C58D93FE997177101F80535A4738CEBCBF389A99B36371EB"),
    24: ("""87A8E61DB4B6663CFFBBD19C651959998CEEF608660DD0F25D2CEED4435E3B00E00DF8F1D61957D4FAF7DF4561B2AA3016C3D911
        34096FAA3BF4296D830E9A7C209E0C6497517ABD5A8A9D306BCF67ED91F9E6725B4758C022E0B1EF4275BF7B6C5BFC11D45F9088
        B941F54EB1E59BB8BC39A0BF12307F5C4FDB70C581B23F76B63ACAE1CAA6B7902D52526735488A0EF13C6D9A51BFA4AB3AD83477
        96524D8EF6A167B5A41825D967E144E5140564251CCACB83E6B486F6B3CA3F7971506026C0B857F689962856DED4010ABD0BE621
        C3A3960A54E710C375F26375D7014103A4B54330C198AF126116D2276E11715F693877FAD7EF09CADB094AE91E1A1597""", """3FB32C9B73134D0B2E77506660EDBD484CA7B18F21EF205407F4793A1A0BA12510DBC15077BE463FFF4FED4AAC0BB555BE3A6C1B
        0C6B47B1BC3773BF7E8C6F62901228F8C28CBB18A55AE31341000A650196F931C77A57F2DDF463E5E9EC144B777DE62AAAB8A862
        8AC376D282D6ED3864E67982428EBC831D14348F6F2F9193B5045AF2767164E1DFC967C1FB3F2E55A4BD1BFFE83B9C80D052B985
        D182EA0ADB2A3B7313D3FE14C8484B1E052588B9B7D2BBD2DF016199ECD06E1557CD0915B3353BBB64E0EC377FD028370DF92B52
        C7891428CDC67EB6184B523D1DB246C32F63078490F00EF8D647D148D47954515E2327CFEF98C582664B4C0F6CC41659""", "8CF83642A709A097B447997640129DA299B1A47D1EB3750BA308B0FE64F5FBD3"),
}

# RFC 5114 §2.4, §2.5 and RFC 5639 §3.3, §3.4: p, a, b, x, y, order.
CURVES = {
    25: (2**192 - 2**64 - 1, -3, 0x64210519E59C80E70FA7E9AB72243049FEB8DEECC146B9B1,
         0x188DA80EB03090F67CBF20EB43A18800F4FF0AFD82FF1012, 0x07192B95FFC8DA78631011ED6B24CDD573F977A11E794811,
         0xFFFFFFFFFFFFFFFFFFFFFFFF99DEF836146BC9B1B4D22831),
    26: (2**224 - 2**96 + 1, -3, 0xB4050A850C04B3ABF54132565044B0B7D7BFD8BA270B39432355FFB4,
         0xB70E0CBD6BB4BF7F321390B94A03C1D356C21122343280D6115C1D21,
         0xBD376388B5F723FB4C22DFE6CD4375A05A07476444D5819985007E34,
         0xFFFFFFFFFFFFFFFFFFFFFFFFFFFF16A2E0B8F03E13DD29455C5C2A3D),
    27: (0xD7C134AA264366862A18302575D1D787B09F075797DA89F57EC8C0FF,
         0x68A5E62CA9CE6C1C299803A6C1530B514E182AD8B0042A59CAD29F43,
         0x2580F63CCFE44138870713B1A92369E33E2135D266DBB372386C400B,
         0x0D9029AD2C7E5CF4340823B2A87DC68C9E4CE3174C1E6EFDEE12C07D,
         0x58AA56F772C0726F24C6B89E4ECDAC24354B9E99CAA3F6D3761402CD,
         0xD7C134AA264366862A18302575D0FB98D116BC4B6DDEBCA3A5A7939F),
    28: (0xA9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377,
         0x7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9,
         0x26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6,
         0x8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262,
         0x547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997,
         0xA9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7),
}

# RFC 2409 §6.3, §6.4 and RFC 2412 §E.3, §E.4: degree, middle term, b, x of the generator, order, cofactor; a is 0.
BINARY = {
    3: (155, 62, 0x07338F, 0x7B, 0x0800000000000000000057DB5698537193AEF944, 12),
    4: (185, 69, 0x1EE9, 0x18, 0x01FFFFFFFFFFFFFFFFFFFFFFDBF2F889B73E484175F94EBC, 4),
}


def seed(text, bound):
    return int.from_bytes(hashlib.sha512(text.encode()).digest(), "big") % bound


def record(**fields):
    print("\n".join(f"{name}: {value}" for name, value in fields.items()) + "\n")


def hexadecimal(number, octets):
    return number.to_bytes(octets, "big").hex()


def is_prime(n):
    if n < 2 or any(n % small == 0 for small in (2, 3, 5, 7, 11, 13) if n != small):
        return n in (2, 3, 5, 7, 11, 13)
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for trial in range(40):
        power = pow(2 + seed(f"{n}{trial}", n - 3), odd, n)
        if power not in (1, n - 1) and all((power := power * power % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def modp(group, p, g, q, width, order):
    assert is_prime(p) and is_prime(q) and (p - 1) % q == 0 and pow(g, order, p) == 1 and g not in (1, p - 1)
    octets = (p.bit_length() + 7) // 8
    x, y = seed(f"x{group}", min(q, 256**width)), seed(f"y{group}", min(q, 256**width))
    record(group=group, x=hexadecimal(x, width), gx=hexadecimal(pow(g, x, p), octets), y=hexadecimal(y, width),
           gy=hexadecimal(pow(g, y, p), octets), gxy=hexadecimal(pow(g, x * y, p), octets))


class PrimeField:
    def __init__(self, p, a, b):
        self.p, self.a, self.b = p, a % p, b

    def on(self, P):
        return P is None or (P[1] ** 2 - P[0] ** 3 - self.a * P[0] - self.b) % self.p == 0

    def add(self, P, Q):
        if P is None or Q is None:
            return P or Q
        if P[0] == Q[0]:
            if (P[1] + Q[1]) % self.p == 0:
                return None
            slope = (3 * P[0] ** 2 + self.a) * pow(2 * P[1], -1, self.p)
        else:
            slope = (Q[1] - P[1]) * pow(Q[0] - P[0], -1, self.p)
        x = (slope**2 - P[0] - Q[0]) % self.p
        return x, (slope * (P[0] - x) - P[1]) % self.p


class BinaryField:
    """y^2 + xy = x^3 + b over GF(2^m) with the polynomial u^m + u^k + 1; elements are integers, bit by bit."""

    def __init__(self, m, k, b):
        self.m, self.poly, self.b = m, 1 << m | 1 << k | 1, b

    def reduce(self, v):
        while v.bit_length() > self.m:
            v ^= self.poly << (v.bit_length() - 1 - self.m)
        return v

    def mul(self, u, v):
        product = 0
        while v:
            if v & 1:
                product ^= u
            u, v = u << 1, v >> 1
        return self.reduce(product)

    def inverse(self, v):
        u, w, g, h = self.reduce(v), self.poly, 1, 0
        while u != 1:
            shift = u.bit_length() - w.bit_length()
            if shift < 0:
                u, w, g, h, shift = w, u, h, g, -shift
            u, g = u ^ w << shift, g ^ h << shift
        return self.reduce(g)

    def on(self, P):
        if P is None:
            return True
        x, y = P
        return self.mul(y, y) ^ self.mul(x, y) == self.mul(self.mul(x, x), x) ^ self.b

    def lift(self, x):
        """A point with that x, or None where none has it. y = x z, z^2 + z = x + b/x^2; m is odd: half-trace."""
        if x == 0:
            root = self.b
            for _ in range(self.m - 1):
                root = self.mul(root, root)
            return 0, root
        beta = x ^ self.mul(self.b, self.inverse(self.mul(x, x)))
        z = term = beta
        for _ in range((self.m - 1) // 2):
            term = self.mul(term, term)
            term = self.mul(term, term)
            z ^= term
        return (x, self.mul(x, z)) if self.mul(z, z) ^ z == beta else None

    def add(self, P, Q):
        if P is None or Q is None:
            return P or Q
        (x1, y1), (x2, y2) = P, Q
        if x1 == x2:
            if y1 ^ y2 == x1:
                return None
            slope = x1 ^ self.mul(y1, self.inverse(x1))
            x = self.mul(slope, slope) ^ slope
        else:
            slope = self.mul(y1 ^ y2, self.inverse(x1 ^ x2))
            x = self.mul(slope, slope) ^ slope ^ x1 ^ x2
        return x, self.mul(slope, x1 ^ x) ^ x ^ y1


def multiply(curve, k, P):
    result = None
    for bit in bin(k)[2:]:
        result = curve.add(result, result)
        if bit == "1":
            result = curve.add(result, P)
    return result


def prime_curve(group, p, a, b, gx, gy, n):
    curve, G = PrimeField(p, a, b), (gx, gy)
    assert is_prime(p) and is_prime(n) and curve.on(G) and multiply(curve, n, G) is None
    octets, width = (p.bit_length() + 7) // 8, (n.bit_length() + 7) // 8
    x, y = seed(f"x{group}", n), seed(f"y{group}", n)
    X, Y, XY = multiply(curve, x, G), multiply(curve, y, G), multiply(curve, x * y % n, G)
    assert multiply(curve, x, Y) == XY and curve.on(X) and curve.on(Y)
    both = lambda P: hexadecimal(P[0], octets) + hexadecimal(P[1], octets)
    record(group=group, x=hexadecimal(x, width), gx=both(X), y=hexadecimal(y, width), gy=both(Y),
           gxy=hexadecimal(XY[0], octets))


def binary_curve(group, m, k, b, gx, order, cofactor):
    curve = BinaryField(m, k, b)
    prime, octets = order // cofactor, (m + 7) // 8
    assert is_prime(prime) and order == prime * cofactor
    G = curve.lift(gx)
    assert curve.on(G) and multiply(curve, order, G) is None and multiply(curve, cofactor, G) is not None
    if group == 3:
        assert 0x1C8 in (G[1], G[0] ^ G[1])  # RFC 2412 §E.3 prints it
    if group == 4:
        assert 0xD in (G[1], G[0] ^ G[1])
    x, y = seed(f"x{group}", order), seed(f"y{group}", order)
    X, Y = multiply(curve, x, G), multiply(curve, y, G)
    XY = multiply(curve, x, Y)
    assert XY[0] == multiply(curve, y, X)[0]
    # Either y may be chosen for the other side's x.
    assert multiply(curve, x, (Y[0], Y[0] ^ Y[1]))[0] == XY[0]
    record(group=group, x=hexadecimal(x, octets), gx=hexadecimal(X[0], octets), y=hexadecimal(y, octets),
           gy=hexadecimal(Y[0], octets), gxy=hexadecimal(XY[0], octets))
    small, off = {0}, None
    for trial in range(200):
        candidate = seed(f"point {group} {trial}", 1 << m)
        point = curve.lift(candidate)
        if point is None:
            off = candidate
        elif (torsion := multiply(curve, prime, point)) is not None:
            small.add(torsion[0])
    for value in sorted(small):
        record(group=group, what="small order", hostile=hexadecimal(value, octets))
    record(group=group, what="off the curve", hostile=hexadecimal(off, octets))
    record(group=group, what="beyond the field", hostile=hexadecimal(Y[0] ^ curve.poly, octets))


def library_curve(group, kind, n, octets):
    from cryptography.hazmat.primitives.asymmetric import ec

    x, y = 1 + seed(f"x{group}", 2**(8 * octets - 8)), 1 + seed(f"y{group}", 2**(8 * octets - 8))
    one, other = ec.derive_private_key(x, kind()), ec.derive_private_key(y, kind())
    both = lambda key: hexadecimal(key.public_key().public_numbers().x, octets) + hexadecimal(
        key.public_key().public_numbers().y, octets)
    record(group=group, x=hexadecimal(x, octets), gx=both(one), y=hexadecimal(y, octets), gy=both(other),
           gxy=one.exchange(ec.ECDH(), other.public_key()).hex())


def main():
    print("# Written by Tests/OakleyTests/reference/groups.py: Python integers with the parameters that RFC 2409, RFC 5114")
    print("# and RFC 5639 print; groups 29 and 30 by the package `cryptography`. Scalars are reduced SHA-512 of x<group>")
    print("# and y<group>. Fields are hexadecimal except group. Group 3 and 4 send x alone.\n")
    modp(1, SAFE_768, 2, (SAFE_768 - 1) // 2, 32, (SAFE_768 - 1) // 2)
    for group, parameters in SUBGROUPS.items():
        p, g, q = (int("".join(number.split()), 16) for number in parameters)
        modp(group, p, g, q, (q.bit_length() + 7) // 8, q)
    for group, parameters in BINARY.items():
        binary_curve(group, *parameters)
    for group, parameters in CURVES.items():
        prime_curve(group, *parameters)
    from cryptography.hazmat.primitives.asymmetric import ec

    library_curve(29, ec.BrainpoolP384R1, None, 48)
    library_curve(30, ec.BrainpoolP512R1, None, 64)


if __name__ == "__main__":
    main()
