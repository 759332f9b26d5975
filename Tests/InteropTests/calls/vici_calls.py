"""Makes the same vici calls against whatever daemon listens, and prints an answer a line as JSON.

Uses the package `vici` of strongSwan's authors as it comes from PyPI. Usage: vici_calls.py SOCKET < CALLS, where CALLS is a
JSON list of [command, message, event or null].
"""

import json
import socket
import sys

from vici.exception import CommandException
from vici.session import Session


def plain(value):
    """Octets as text, the rest as it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def main():
    channel = socket.socket(socket.AF_UNIX)
    channel.settimeout(20)
    channel.connect(sys.argv[1])
    session = Session(channel)
    for command, message, event in json.load(sys.stdin):
        try:
            if event:
                answer = [plain(item) for item in session.streamed_request(command, event, message)]
            else:
                answer = plain(session.request(command, message))
        except CommandException as problem:
            answer = {"refused": str(problem)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
