"""What the laboratories share that hold Parley against key management which keeps its SAs in the Linux kernel: two hosts
in namespaces, Parley on host 1, and the questions that are asked of it. Host 2 is the peer's."""

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PARLEY = pathlib.Path(os.environ.get("PARLEY_BINARY", ROOT / ".build/release/parley"))

# How long lifetimes of a second are kept up; five minutes in a case of its own want `--timeout 900` of the laboratory.
ENDURANCE = int(os.environ.get("PARLEY_LAB_REKEY_SECONDS", "20"))
LASTING = "rekey_time = 0"
SHORT = "rekey_time = 1s\n        life_time = 20s\n        rand_time = 0s"

PROBLEMS = (RuntimeError, OSError, StopIteration, subprocess.TimeoutExpired)


def laboratory(name):
    """Another laboratory's script, as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "scripts" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def run(*command, check=True):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def eventually(what, condition, seconds=40):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def inside(number, *command):
    return ["ip", "netns", "exec", f"plab{number}", *map(str, command)]


class Hosts:
    """Two namespaces joined by a veth pair: 192.0.2.1 with 10.1.0.1 behind it, and the same with 2."""

    def __enter__(self):
        for number in (1, 2):
            run("ip", "netns", "add", f"plab{number}")
        run("ip", "-n", "plab1", "link", "add", "wan", "type", "veth", "peer", "name", "wan", "netns", "plab2")
        for number in (1, 2):
            for device in ("lo", "wan"):
                run("ip", "-n", f"plab{number}", "link", "set", device, "up")
            run("ip", "-n", f"plab{number}", "addr", "add", f"192.0.2.{number}/24", "dev", "wan")
            run("ip", "-n", f"plab{number}", "addr", "add", f"10.{number}.0.1/32", "dev", "lo")
        run("ip", "-n", "plab2", "route", "add", "10.1.0.0/24", "via", "192.0.2.1", "src", "10.2.0.1")
        return self

    def __exit__(self, *_):
        for number in (1, 2):
            run("ip", "netns", "del", f"plab{number}", check=False)


class Authority:
    """What `parley pki ca` has made in a folder, and its server on the host of who judges: a list (CRL) or `openssl ocsp`."""

    LIST, RESPONDER = "http://127.0.0.1:8080/ca.crl", "http://127.0.0.1:8888/"

    def __init__(self, folder, source, judging):
        self.folder, self.source, self.judging = folder, source, judging
        self.list = folder / "web/ca.crl"
        self.server = None

    @property
    def words(self):
        """What a certificate says of where to ask."""
        return ["--crl", self.LIST] if self.source == "CRL" else ["--ocsp", self.RESPONDER]

    def serve(self, certificates, revoked):
        """`certificates` by the number of their host; `revoked` is one of these or None."""
        if self.source == "CRL":
            listed = certificates.get(revoked)
            if listed is None:
                # A list exists from the first revocation on.
                run(PARLEY, "pki", "issue", "nobody.example", "--ca", self.folder, "-o", self.folder / "nobody")
                listed = self.folder / "nobody/x509/nobody.example.pem"
            run(PARLEY, "pki", "revoke", listed, "--ca", self.folder)
            self.list.parent.mkdir()
            run("openssl", "crl", "-in", self.folder / "ca.crl.pem", "-outform", "DER", "-out", self.list)
            port, command = 8080, ["python3", "-u", "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory",
                                   self.list.parent]
        else:
            lines = []
            for number, path in certificates.items():
                serial = run("openssl", "x509", "-in", path, "-noout", "-serial").strip().split("=")[1]
                letter, date = ("R", "250101000000Z,keyCompromise") if number == revoked else ("V", "")
                lines.append(f"{letter}\t491231235959Z\t{date}\t{serial}\tunknown\t/CN=host{number}.example\n")
            (self.folder / "index.txt").write_text("".join(lines))
            port, command = 8888, ["openssl", "ocsp", "-port", "8888", "-index", self.folder / "index.txt", "-CA",
                                   self.folder / "ca.cert.pem", "-rsigner", self.folder / "ca.cert.pem", "-rkey",
                                   self.folder / "ca.key.pem", "-ndays", "7", "-text"]
        self.server = subprocess.Popen(inside(self.judging, *command), stdout=(self.folder / "served").open("w"),
                                       stderr=subprocess.STDOUT)
        eventually(f"something listens on {port}", lambda: f":{port}" in run(
            *inside(self.judging, "ss", "-Hltn", f"sport = :{port}")))

    def asked(self):
        """Whether anybody has asked the server."""
        told = (self.folder / "served").read_text(errors="replace")
        return "GET /ca.crl" in told or "OCSP Response Data" in told

    def stop(self):
        if self.server:
            self.server.terminate()
            self.server.wait(15)


class Pair:
    """Both daemons of one case, from their configuration to their end: `begin` starts them, and `judge` says by an error
    what is wrong."""

    def __init__(self, directory, case):
        self.directory = directory
        self.case = case
        self.directory.mkdir()
        self.uri = f"unix://{directory}/vici"
        self.processes = {}
        self.has_moved = False

    def start(self, number, command, **environment):
        self.processes[number] = subprocess.Popen(
            inside(number, *command), stdout=(self.directory / f"log{number}").open("w"), stderr=subprocess.STDOUT,
            env={**os.environ, **environment})

    def start_parley(self, configuration, settings=""):
        (self.directory / "swanctl.conf").write_text(configuration)
        (self.directory / "strongswan.conf").write_text(settings)
        self.start(1, [PARLEY, "run", "--config", self.directory / "swanctl.conf", "--uri", self.uri],
                   STRONGSWAN_CONF=str(self.directory / "strongswan.conf"))
        eventually("Parley answers", lambda: self.alive(1) and (self.directory / "vici").exists())

    def alive(self, number):
        if self.processes[number].poll() is not None:
            raise RuntimeError(f"a daemon ended at once:\n{self.log(number)}")
        return True

    def log(self, number):
        return (self.directory / f"log{number}").read_text(errors="replace")

    def parley(self, *arguments, check=True):
        return run(PARLEY, *arguments, "--uri", self.uri, check=check)

    def swanctl(self, *arguments):
        return run("swanctl", *arguments, "--uri", self.uri)

    def theirs(self):
        """SPIs of the SAs in the peer's kernel."""
        return set(re.findall(r"^\s*proto esp spi 0x([0-9a-f]{8})", run(*inside(2, "ip", "xfrm", "state")), re.MULTILINE))

    def ours(self):
        """Parley's SPIs of the child, in and out."""
        return set(re.findall(r"^\s+(?:in|out)\s+([0-9a-f]{8})", self.swanctl("--list-sas"), re.MULTILINE))

    def ike(self):
        found = re.search(r"([0-9a-f]{16})_i\*?\s+([0-9a-f]{16})_r", self.swanctl("--list-sas"))
        return found.groups() if found else None

    def agree(self, besides=frozenset()):
        """Waits until both ends have the same one pair of SAs, none of them in `besides`."""
        def same():
            ours, theirs = self.ours(), self.theirs()
            return ours if len(ours) == 2 and ours == theirs and not ours & besides else None
        return eventually("both have the same SAs", same)

    def echoes(self):
        for here, there in ((1, 2), (2, 1)):
            for size in (56, 1200):
                self.reach(here, f"10.{here}.0.1", f"10.{there}.0.1", 3, size)

    def reach(self, here, source, target, count=5, size=56):
        """Echoes from one address of a host's to another's: the first `count` must all be answered."""
        # With a deadline an answer may be late: without one `ping` gives the last only as long as its interval.
        output = run(*inside(here, "ping", "-n", "-c", count, "-i", "0.2", "-w", "10", "-s", size, "-I", source, target),
                     check=False)
        if not set(range(1, count + 1)) <= {int(number) for number in re.findall(r"bytes from .*icmp_seq=(\d+)", output)}:
            raise RuntimeError(f"echoes of {size} octets from {source} to {target}:\n{output}")

    def said(self, text, *words):
        """All the words are in the text."""
        missing = [word for word in words if word not in text]
        if missing:
            raise RuntimeError(f"{missing} is absent:\n{text}")

    def rekey_child(self, before):
        self.swanctl("--rekey", "--child", "lab")
        after = self.agree(besides=before)
        self.echoes()
        return after

    def rekey_ike(self, child):
        """Another IKE SA that has the same child; its SPIs, and those of the one before it."""
        before = self.ike()
        self.swanctl("--rekey", "--ike", "lab")
        eventually("another IKE SA", lambda: self.ike() not in (None, before))
        if self.agree() != child:
            raise RuntimeError("the child did not stay with the new IKE SA")
        self.echoes()
        return self.ike(), before

    def move(self, follows=None):
        """Host 1 has another address instead of its own, and both ends must follow; its own comes back when the case ends.
        `follows` says whether the peer has, where its kernel does not."""
        # Else the second address goes with the first.
        run(*inside(1, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries"))
        run("ip", "-n", "plab1", "addr", "add", "192.0.2.11/24", "dev", "wan")
        run("ip", "-n", "plab1", "addr", "del", "192.0.2.1/24", "dev", "wan")
        run("ip", "-n", "plab2", "route", "replace", "10.1.0.0/24", "via", "192.0.2.11", "src", "10.2.0.1")
        self.has_moved = True
        if follows:
            eventually("both have moved", lambda: follows() and "192.0.2.11" in self.swanctl("--list-sas"))
            return
        eventually("both have moved", lambda: "192.0.2.11" in run(*inside(2, "ip", "xfrm", "state"))
                   and "192.0.2.1 " not in run(*inside(2, "ip", "xfrm", "state"))
                   and "192.0.2.11" in self.swanctl("--list-sas"))
        self.agree()

    def cut(self):
        """Fragments of IP that either host has made."""
        counts = []
        for number in (1, 2):
            names, values = [line.split() for line in run(*inside(number, "cat", "/proc/net/snmp")).splitlines()
                             if line.startswith("Ip:")]
            counts.append(int(values[names.index("FragCreates")]))
        return counts

    def endure(self, seconds):
        """Twenty echoes a second each way while lifetimes of a second end: none may be lost but what the peer's own
        kernel says that it had no SA for."""
        before = self.discarded()
        flows = {
            here: subprocess.Popen(
                [str(word) for word in inside(here, "ping", "-n", "-c", seconds * 20, "-i", "0.05", "-W", "5", "-I",
                                              f"10.{here}.0.1", f"10.{there}.0.1")],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for here, there in ((1, 2), (2, 1))}
        told = {here: flow.communicate(timeout=seconds * 3 + 60)[0] for here, flow in flows.items()}
        lost = {here: sorted(set(range(1, seconds * 20 + 1)) - {int(n) for n in re.findall(r"icmp_seq=(\d+)", output)})
                for here, output in told.items()}
        after = self.discarded()
        dropped = {reason: count - before.get(reason, 0) for reason, count in after.items()
                   if count > before.get(reason, 0)}
        sides = sum(len(numbers) for numbers in lost.values())
        theirs = dropped.get("XfrmAcquireError", 0) + dropped.get("XfrmOutNoStates", 0)
        if sides > theirs or "unknownSPI" in dropped:
            raise RuntimeError(f"echoes are lost: of host 1 {lost[1]}, of host 2 {lost[2]}; dropped: {dropped}")
        rekeyings = int(re.search(r"child-rekey\D+(\d+)", self.swanctl("--counters", "--all")).group(1))
        if rekeyings < seconds / 2:
            raise RuntimeError(f"{rekeyings} rekeyings in {seconds} seconds")
        print(f"  {rekeyings} rekeyings of the child, {2 * seconds * 20} echoes, {sides} lost, for {theirs} of which the "
              f"peer's kernel had no SA", flush=True)

    def discarded(self):
        """What Parley and the peer's kernel dropped, by reason."""
        drops = re.search(r"drops \{(.*?)\}", self.swanctl("--stats", "--raw"))
        found = re.findall(r"(\w+)=(\d+)", drops.group(1)) if drops else []
        found += re.findall(r"^(\w+)\s+(\d+)$", run(*inside(2, "cat", "/proc/net/xfrm_stat"), check=False), re.MULTILINE)
        return {reason: int(count) for reason, count in found}

    def gone(self, child):
        eventually("the peer's kernel has no such SA", lambda: not self.theirs() & child)
        eventually("Parley has no such SA", lambda: not self.ours() & child)

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.has_moved:
            run("ip", "-n", "plab1", "addr", "add", "192.0.2.1/24", "dev", "wan", check=False)
            run("ip", "-n", "plab1", "addr", "del", "192.0.2.11/24", "dev", "wan", check=False)
            run("ip", "-n", "plab2", "route", "replace", "10.1.0.0/24", "via", "192.0.2.1", "src", "10.2.0.1")
        run(*inside(2, "ip", "xfrm", "state", "flush"), check=False)
        run(*inside(2, "ip", "xfrm", "policy", "flush"), check=False)


def judge(cases, make, only=""):
    """Runs the cases whose name has `only` in it, each a tuple that begins with its name; `make` gives the pair of one.
    Prints what came of each and the ends of both logs where it failed; returns the exit status."""
    if os.getuid() != 0:
        raise SystemExit("network namespaces need root")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="parley-lab-"))
    failed, passed = [], 0
    with Hosts():
        for index, case in enumerate(cases):
            if only not in case[0]:
                continue
            folder = directory / str(index)
            pair = make(folder, case)
            try:
                pair.begin()
                pair.judge()
                passed += 1
                print(f"passed: {case[0]}", flush=True)
            except PROBLEMS as error:
                failed.append(case[0])
                print(f"FAILED: {case[0]}: {error}", flush=True)
                for log in (folder / "log1", folder / "log2"):
                    if log.exists():
                        print(f"---- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-40:]))
            finally:
                pair.stop()
        if os.environ.get("PARLEY_LAB_KEEP"):
            shutil.copytree(directory, os.environ["PARLEY_LAB_KEEP"], dirs_exist_ok=True,
                            ignore=lambda _, names: [name for name in names if name in ("vici", "pluto.ctl")])
    shutil.rmtree(directory, ignore_errors=True)
    print(f"{passed} cases passed, {len(failed)} failed: {', '.join(failed) or 'none'}")
    return 1 if failed or not passed else 0
