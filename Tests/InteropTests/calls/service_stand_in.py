"""Starts a daemon as systemd starts a service (Type=notify, WatchdogSec=, a socket unit), and prints what it observes as JSON.

Usage: unshare -n service_stand_in.py PARLEY CONFIGURATION FOLDER. In a network namespace of its own, so that IKE's ports are free.
"""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

program, configuration, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
VERSION = struct.pack("!I", 9) + b"\x00\x07version"


class Notifications:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(30)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

    def next(self):
        """A message with its sender, who must be the main process (NotifyAccess=main)."""
        text, control, _, _ = self.socket.recvmsg(4096, 256)
        pid = struct.unpack("iII", control[0][2])[0] if control else 0
        return text.decode(), pid

    def until(self, beginning):
        while True:
            text, pid = self.next()
            if text.startswith(beginning):
                return text, pid


def start(listener, notifications, watchdog):
    """The main process, with the listener as descriptor 3."""
    def prepare():
        os.dup2(listener.fileno(), 3)

    environment = {
        **os.environ, "NOTIFY_SOCKET": notifications, "WATCHDOG_USEC": str(watchdog), "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "vici"}
    # The environment is complete only once the child knows its number.
    shell = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$@"'
    return subprocess.Popen(
        ["sh", "-c", shell, "sh", program, "run", "--config", configuration, "--uri", f"unix://{folder}/unused.vici"],
        env=environment, pass_fds=[3], preexec_fn=prepare, stderr=(folder / "output").open("ab"))


def ask(path, client=None):
    """Whether the daemon answers `version`."""
    if client is None:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(path)
        client.sendall(VERSION)
    answer = client.recv(4096)
    client.close()
    return b"parley" in answer


def main():
    seen = {}
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Nothing of ours is descriptor 3, where the child has the listener.
    filler = os.open("/dev/null", os.O_RDONLY)
    if filler != 3:
        os.dup2(filler, 3)
    path = str(folder / "held.vici")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    for abstract in [False, True]:
        name = f"\0parley-{os.getpid()}" if abstract else str(folder / "notify")
        notifications = Notifications(name)
        # One that comes before the daemon waits for it.
        early = socket.socket(socket.AF_UNIX)
        early.settimeout(30)
        early.connect(path)
        early.sendall(VERSION)
        daemon = start(listener, name.replace("\0", "@"), 400_000)
        facts = {}
        text, pid = notifications.until("READY=1")
        facts["ready"] = text
        facts["ready from the main process"] = pid == daemon.pid
        facts["who came early is answered"] = ask(path, early)
        facts["answers"] = ask(path)
        facts["no socket of its own"] = not (folder / "unused.vici").exists()
        beats = [notifications.until("WATCHDOG=1") for _ in range(4)]
        facts["watchdog from the main process"] = all(sender == daemon.pid for _, sender in beats)
        if abstract:
            # One that hangs gives no sign of life.
            daemon.send_signal(signal.SIGSTOP)
            notifications.socket.settimeout(2)
            try:
                while True:
                    notifications.next()
            except TimeoutError:
                facts["silent when it hangs"] = True
            daemon.send_signal(signal.SIGCONT)
            notifications.socket.settimeout(30)
            facts["alive again"] = notifications.until("WATCHDOG=1")[1] == daemon.pid
        daemon.send_signal(signal.SIGTERM)
        facts["stopping"] = notifications.until("STOPPING=1")[0]
        facts["status"] = daemon.wait(30)
        facts["the held socket stays"] = os.path.exists(path)
        seen["second start" if abstract else "first start"] = facts
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
