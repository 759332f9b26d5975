#!/usr/bin/env python3
"""Makes Tests/Vectors/test-keys.txt and Tests/Vectors/rsa-pkcs1.txt with the package `cryptography`.

    public_keys.py keys           makes new keys (the recorded ones stay as they are otherwise)
    public_keys.py rsa VECTORS    answers of an independent implementation with implicit rejection for the
                                  ciphertexts of Wycheproof's rsa_pkcs1_2048_test.json
"""
import json
import os
import sys

from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa

VECTORS = os.path.join(os.path.dirname(__file__), "..", "..", "Vectors")
DER, PEM = s.Encoding.DER, s.Encoding.PEM
PLAIN = s.NoEncryption()
LOCKED = s.BestAvailableEncryption(b"open sesame")


def record(out, **fields):
    for name, value in fields.items():
        out.write(f"{name}: {value.hex() if isinstance(value, bytes) else value}\n")
    out.write("\n")


def keys():
    makers = {
        "rsa-left": lambda: rsa.generate_private_key(65537, 2048),
        "rsa-right": lambda: rsa.generate_private_key(65537, 2048),
        "rsa-other": lambda: rsa.generate_private_key(65537, 3072),
        "rsa-odd": lambda: rsa.generate_private_key(65537, 1028),
        "dsa-left": lambda: dsa.generate_private_key(1024),
        "dsa-right": lambda: dsa.generate_private_key(2048),
    }
    for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1):
        for end in ("left", "right"):
            makers[f"ecdsa-{curve().key_size}-{end}"] = lambda c=curve: ec.generate_private_key(c())
    with open(os.path.join(VECTORS, "test-keys.txt"), "w") as out:
        out.write("# Keys for tests alone, made by Tests/CryptographyTests/reference/public_keys.py.\n\n")
        for name, make in makers.items():
            key = make()
            public = key.public_key()
            forms = {}
            if isinstance(key, rsa.RSAPrivateKey):
                forms["publicPKCS1"] = public.public_bytes(DER, s.PublicFormat.PKCS1)
                forms["publicPKCS1PEM"] = public.public_bytes(PEM, s.PublicFormat.PKCS1)
            record(
                out, name=name,
                private=key.private_bytes(DER, s.PrivateFormat.PKCS8, PLAIN),
                traditional=key.private_bytes(DER, s.PrivateFormat.TraditionalOpenSSL, PLAIN),
                traditionalPEM=key.private_bytes(PEM, s.PrivateFormat.TraditionalOpenSSL, PLAIN),
                privatePEM=key.private_bytes(PEM, s.PrivateFormat.PKCS8, PLAIN),
                encrypted=key.private_bytes(DER, s.PrivateFormat.PKCS8, LOCKED),
                encryptedPEM=key.private_bytes(PEM, s.PrivateFormat.PKCS8, LOCKED),
                encryptedTraditionalPEM=key.private_bytes(PEM, s.PrivateFormat.TraditionalOpenSSL, LOCKED),
                public=public.public_bytes(DER, s.PublicFormat.SubjectPublicKeyInfo),
                publicPEM=public.public_bytes(PEM, s.PublicFormat.SubjectPublicKeyInfo), **forms)


def rsa_answers(path):
    group = json.load(open(path))["testGroups"][0]
    key = s.load_der_private_key(bytes.fromhex(group["privateKeyPkcs8"]), None)
    with open(os.path.join(VECTORS, "rsa-pkcs1.txt"), "w") as out:
        out.write("# Ciphertexts of Wycheproof's rsa_pkcs1_2048_test.json. 'answer' is what OpenSSL 4.0 with implicit\n")
        out.write("# rejection makes of each (Tests/CryptographyTests/reference/public_keys.py); none where it refuses\n")
        out.write("# the ciphertext's length.\n\n")
        record(out, title="key", private=bytes.fromhex(group["privateKeyPkcs8"]))
        for test in group["tests"]:
            ciphertext = bytes.fromhex(test["ct"])
            fields = dict(
                test=test["tcId"], comment=test["comment"].replace(":", ","), result=test["result"],
                message=bytes.fromhex(test["msg"]), ciphertext=ciphertext)
            try:
                fields["answer"] = key.decrypt(ciphertext, padding.PKCS1v15())
                fields["answered"] = "yes"
            except ValueError:
                fields["answered"] = "no"
            record(out, **fields)


if __name__ == "__main__":
    if sys.argv[1] == "keys":
        keys()
    else:
        rsa_answers(sys.argv[2])
