#!/usr/bin/env python3
"""Decodes ISAKMP messages, one a line in hexadecimal digits, with scapy: exchange type, flags, message ID, payloads.

A payload is `type:octets of its body`, in order; an encrypted message shows its header alone.
"""
import logging
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.isakmp import ISAKMP  # noqa: E402

for line in sys.stdin:
    octets = bytes.fromhex(line.strip())
    message = ISAKMP(octets)
    assert message.length == len(octets), "the header's length"
    payloads = []
    if not int(message.flags) & 1:
        kind, layer = message.next_payload, message.payload
        while kind:
            payloads.append(f"{kind}:{layer.length - 4}")
            kind, layer = layer.next_payload, layer.payload
        assert not bytes(layer), "octets behind the last payload"
    print(message.exch_type, int(message.flags), message.id, ",".join(payloads) or "-")
