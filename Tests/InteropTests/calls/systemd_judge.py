"""Looks at Parley's units under a real systemd (see systemd_boot.sh) and writes what it observes to /judge/facts.json."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

VERSION = struct.pack("!I", 9) + b"\x00\x07version"
SOCKET = "/run/parley/parley.vici"
PEER = """
connections { site { version = 2
    local_addrs = 192.0.2.2
    remote_addrs = 192.0.2.1
    local { auth = psk
        id = peer }
    remote { auth = psk
        id = service }
    children { net { local_ts = 10.2.0.0/24
        remote_ts = 10.1.0.0/24 } } } }
secrets { ike-site { secret = "a secret of the test" } }
"""


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def show(unit="parley.service"):
    """A unit's properties."""
    lines = run("systemctl", "show", unit).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def ask():
    """Whether somebody answers `version` on the socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(SOCKET)
    client.sendall(VERSION)
    answer = client.recv(4096)
    client.close()
    return b"parley" in answer


def eventually(condition):
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.1)
    return False


def status(pid):
    """What the kernel says of a process."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def network():
    """The service's own side, and a peer without any sandbox behind a pair of interfaces."""
    for command in [
        "ip netns add peer", "ip link add left type veth peer name right netns peer", "ip addr add 192.0.2.1/24 dev left",
        "ip link set left up", "ip -n peer addr add 192.0.2.2/24 dev right", "ip -n peer link set right up",
        "ip -n peer link set lo up", "ip addr add 10.1.0.1/32 dev lo", "ip -n peer addr add 10.2.0.1/32 dev lo",
    ]:
        subprocess.run(command.split(), check=True)
    pathlib.Path("/run/peer.conf").write_text(PEER)
    return subprocess.Popen(
        ["ip", "netns", "exec", "peer", "parley", "run", "--config", "/run/peer.conf", "--uri", "unix:///run/peer.vici"],
        stderr=open("/judge/peer.log", "wb"))


def main():
    facts = {}
    pathlib.Path("/root/of-the-judge").touch()
    verified = run("systemd-analyze", "verify", "--man=no", "parley.service", "parley.socket")
    facts["the units are good"] = verified.returncode == 0 and not verified.stderr or verified.stderr
    # The socket alone starts the daemon.
    facts["the socket starts"] = run("systemctl", "start", "parley.socket").returncode == 0
    facts["the daemon waits for a client"] = show()["ActiveState"] == "inactive" and os.path.exists(SOCKET)
    facts["the first client is answered"] = ask()
    properties = show()
    facts["the client started it"] = properties["ActiveState"] == "active" and properties["SubState"] == "running"
    facts["status"] = properties["StatusText"]
    first = int(properties["MainPID"])

    # Readiness: whoever starts it returns once it takes requests.
    facts["stops"] = run("systemctl", "stop", "parley.service").returncode == 0 and show()["Result"] == "success"
    facts["the socket stays"] = show("parley.socket")["ActiveState"] == "active"
    facts["starts"] = run("systemctl", "start", "parley.service").returncode == 0
    properties = show()
    facts["is ready"] = properties["ActiveState"] == "active" and properties["Type"] == "notify"
    main_process = int(properties["MainPID"])
    facts["another process"] = main_process != first

    # The sandbox is there, and lets it do its work.
    kernel = status(main_process)
    facts["no new privileges"] = kernel["NoNewPrivs"]
    facts["system calls are filtered"] = kernel["Seccomp"]
    wanted = {10, 12, 13}  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
    facts["capabilities"] = sorted(bit for bit in range(64) if int(kernel["CapEff"], 16) >> bit & 1) == sorted(wanted)
    inside = ["nsenter", "-t", str(main_process), "-m"]
    facts["the system is read-only"] = run(*inside, "touch", "/usr/of-parley").returncode != 0
    facts["homes are hidden"] = (
        len(os.listdir("/root")) > 0 and run(*inside, "find", "/root", "-mindepth", "1").stdout == "")
    facts["it keeps state"] = any(pathlib.Path("/var/lib/parley").iterdir())
    peer = network()
    facts["the peer is there"] = eventually(lambda: os.path.exists("/run/peer.vici"))
    up = run("parley", "up", "net", "--uri", f"unix://{SOCKET}")
    facts["a tunnel comes up"] = up.returncode == 0 or up.stderr
    facts["packets pass"] = run("ping", "-c", "3", "-W", "2", "-I", "10.1.0.1", "10.2.0.1").returncode == 0
    facts["reload"] = run("systemctl", "reload", "parley.service").returncode == 0
    facts["packets pass after it"] = run("ping", "-c", "1", "-W", "2", "-I", "10.1.0.1", "10.2.0.1").returncode == 0

    # One that hangs is ended and started anew; its clients wait.
    os.kill(main_process, signal.SIGSTOP)
    facts["who asks one that hangs is answered by the next"] = ask()
    facts["it was started anew"] = eventually(
        lambda: show()["ActiveState"] == "active" and show()["NRestarts"] == "1")
    facts["not the same process"] = int(show()["MainPID"]) != main_process
    facts["answers"] = ask()

    facts["ends with the socket"] = run("systemctl", "stop", "parley.socket", "parley.service").returncode == 0
    facts["the socket is gone"] = not os.path.exists(SOCKET)
    peer.terminate()
    peer.wait(30)
    pathlib.Path("/judge/facts.json").write_text(json.dumps(facts))


main()
