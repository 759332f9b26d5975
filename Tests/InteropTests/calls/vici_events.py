"""Prints events of a daemon as `swanctl --raw` prints messages, a line each.

Uses the package `vici` as it comes from PyPI. Usage: vici_events.py SOCKET EVENT...
"""

import socket
import sys

from vici.session import Session


def raw(message):
    """A section: names with values, lists in brackets, sections in braces."""
    parts = []
    for name, value in message.items():
        if isinstance(value, dict):
            parts.append(f"{name} {{{raw(value)}}}")
        elif isinstance(value, list):
            parts.append(f"{name}=[{' '.join(item.decode() for item in value)}]")
        else:
            parts.append(f"{name}={value.decode()}")
    return " ".join(parts)


def main():
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(sys.argv[1])
    print("listening", flush=True)
    for name, message in Session(channel).listen(sys.argv[2:]):
        print(f"{name.decode() if isinstance(name, bytes) else name} event {{{raw(message)}}}", flush=True)


if __name__ == "__main__":
    main()
