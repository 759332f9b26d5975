import Foundation

/// Debian's Libreswan on one host of the lab. Its package and strongSwan's exclude each other, so scripts/install
/// unpacks it beside the system. This kernel may lack ESP: a shim has the daemon believe that its SAs are
/// installed, and puts lengths before messages in TCP, which leaves everything that IKE does as it is.
final class Libreswan {
    /// Where scripts/install puts what the packages hold.
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent(".build/peers/libreswan").path
    private static var pluto: String { "\(root)/usr/libexec/ipsec/pluto" }

    static let missing: [String] =
        [pluto, "/usr/bin/certutil", "/usr/bin/unshare"].filter {
            !FileManager.default.isExecutableFile(atPath: $0)
        }.map { $0 == pluto ? "an unpacked Libreswan" : $0 }

    let side: Side
    private let directory: URL
    private let network: Network
    private var process: Subprocess?

    var log: String {
        (try? String(contentsOf: directory.appendingPathComponent("output"), encoding: .utf8)) ?? ""
    }

    init(side: Side, directory: URL, network: Network, secret: String) throws {
        self.side = side
        self.directory = directory
        self.network = network
        for folder in ["run", "ipsecd", "nss"] {
            try FileManager.default.createDirectory(
                at: directory.appendingPathComponent(folder), withIntermediateDirectories: true)
        }
        try write(Libreswan.setup, to: "ipsec.conf")
        try write("%any %any : PSK \"\(secret)\"\n", to: "ipsec.secrets")
        try write(Libreswan.shim, to: "shim.c")
        let path = directory.path
        try Subprocess.require(
            ["clang", "-shared", "-fPIC", "-O1", "-o", "\(path)/shim.so", "\(path)/shim.c", "-ldl"])
        try Subprocess.require(
            ["certutil", "-N", "-d", "sql:\(path)/nss", "--empty-password"])
    }

    private static let setup = "config setup\n\tikev1-policy=accept\n\tlisten-tcp=yes\n"

    private func write(_ text: String, to name: String) throws {
        try text.write(to: directory.appendingPathComponent(name), atomically: true, encoding: .utf8)
    }

    /// Starts pluto where its own path leads to the unpacked programs: in a mount namespace of its own.
    func start() throws {
        let path = directory.path
        let script = """
            mount --bind \(Libreswan.root)/usr/libexec /usr/libexec && \
            LD_PRELOAD=\(path)/shim.so exec /usr/libexec/ipsec/pluto --nofork --stderrlog --log-no-time --no-dnssec \
            --nhelpers 0 --config \(path)/ipsec.conf --rundir \(path)/run --secretsfile \(path)/ipsec.secrets \
            --ipsecdir \(path)/ipsecd --nssdir \(path)/nss
            """
        process = try Subprocess(
            network.on(side, ["unshare", "-m", "sh", "-c", script]),
            outputPath: directory.appendingPathComponent("output"))
        try eventually("pluto listens", seconds: 15) {
            guard process?.isRunning == true else { throw LabFailure("pluto ended at once:\n\(log)") }
            return try FileManager.default.fileExists(atPath: "\(path)/run/pluto.ctl")
                && whack(["--status"]).succeeded
        }
        _ = try whack(["--listen"])
    }

    func whack(_ arguments: [String], seconds: Double = 20) throws -> CommandResult {
        try Subprocess.run(
            network.on(
                side,
                ["\(Libreswan.root)/usr/libexec/ipsec/whack", "--rundir", directory.appendingPathComponent("run").path]
                    + arguments), seconds: seconds)
    }

    /// Loads the lab's connection.
    /// - Parameter isAnonymous: nobody says who it is (RFC 7619).
    func load(
        _ version: Version, ike: String, esp: String, _ options: [String], isAnonymous: Bool = false
    ) throws {
        func end(_ side: Side) -> [String] {
            [
                "--host", side.outerAddress, "--id", isAnonymous ? "%null" : "@\(side.identity)", "--client",
                side.innerPrefix, "--updown",
                "/bin/true",
            ]
        }
        // Its own kernel would have it ask for bare ESP.
        let name =
            ["--name", "net", "--ikev\(version.rawValue)", isAnonymous ? "--auth-null" : "--psk"]
            + ["--encrypt", "--tunnel", "--encaps", "yes"]
        let result = try whack(
            name + ["--pfs", "--ike", ike, "--esp", esp] + options + end(side) + ["--to"] + end(side.other))
        guard result.succeeded else { throw LabFailure(result.description) }
    }

    /// Loads the lab's connection for IKE in TCP (RFC 9329), which its control program has no way to say.
    func loadStream(ike: String, esp: String) throws {
        var lines = ["conn net", "ikev2=yes", "authby=secret", "ike=\(ike)", "esp=\(esp)", "esn=no"]
        lines += ["enable-tcp=yes", "tcp-remoteport=4500"]
        for (name, end) in [("left", side), ("right", side.other)] {
            lines += ["\(name)=\(end.outerAddress)", "\(name)id=@\(end.identity)", "\(name)subnet=\(end.innerPrefix)"]
            lines.append("\(name)updown=/bin/true")
        }
        try write(Libreswan.setup + lines.joined(separator: "\n\t") + "\n", to: "ipsec.conf")
        let path = directory.path
        let result = try Subprocess.run(
            network.on(
                side,
                [
                    "\(Libreswan.root)/usr/libexec/ipsec/addconn", "--config", "\(path)/ipsec.conf", "--ctlsocket",
                    "\(path)/run/pluto.ctl", "net",
                ]), seconds: 20)
        guard result.succeeded else { throw LabFailure(result.description) }
    }

    /// Whether it says that an IKE SA and this child of the peer's are established.
    func holds(_ child: ChildSAView) throws -> Bool {
        let status = try whack(["--status"]).output
        let ike = ["MAIN_I4", "MAIN_R3", "AGGR_I2", "AGGR_R2", "V2_ESTABLISHED_IKE_SA"]
        let children = ["QUICK_I2", "QUICK_R2", "V2_ESTABLISHED_CHILD_SA"]
        guard ike.contains(where: { status.contains("STATE_\($0) ") }),
            children.contains(where: { status.contains("STATE_\($0) ") })
        else { return false }
        // Leading zeros of an SPI are a matter of taste.
        return [child.spiIn, child.spiOut].allSatisfy { spi in
            status.contains("esp.\(spi)@") || status.contains("esp.\(spi.drop { $0 == "0" })@")
        }
    }

    /// Whether it holds no SA, and none half open.
    func isEmpty() throws -> Bool { try !whack(["--status"]).output.contains("STATE_") }

    /// Ends the daemon without giving it a chance to say so.
    func kill() {
        process?.signal(SIGKILL)
        _ = process?.wait(seconds: 5)
        process = nil
    }

    func stop() {
        process?.stop()
        process = nil
    }

    /// Answers of the kernel to requests for SAs become successes, and TCP has a kernel's framing, whatever the kernel lacks.
    private static let shim = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <netinet/in.h>
        #include <string.h>
        #include <unistd.h>
        #include <sys/socket.h>
        #include <linux/netlink.h>
        #include <linux/xfrm.h>

        static void soften(void *buffer, ssize_t count, int fd) {
            int protocol = -1, domain = -1;
            socklen_t size = sizeof protocol;
            if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) || domain != AF_NETLINK) return;
            size = sizeof protocol;
            if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) || protocol != NETLINK_XFRM) return;
            struct nlmsghdr *header = buffer;
            if (count < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || header->nlmsg_type != NLMSG_ERROR) return;
            struct nlmsgerr *error = NLMSG_DATA(header);
            switch (error->msg.nlmsg_type) {
            case XFRM_MSG_NEWSA: case XFRM_MSG_UPDSA: case XFRM_MSG_DELSA: error->error = 0;
            }
        }

        ssize_t recvfrom(int fd, void *restrict buffer, size_t length, int flags, struct sockaddr *restrict from,
                         socklen_t *restrict size) {
            static ssize_t (*next)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
            if (!next) next = dlsym(RTLD_NEXT, "recvfrom");
            ssize_t count = next(fd, buffer, length, flags, from, size);
            if (count > 0) soften(buffer, count, fd);
            return count;
        }

        ssize_t recv(int fd, void *buffer, size_t length, int flags) {
            return recvfrom(fd, buffer, length, flags, 0, 0);
        }

        // Framing of messages in TCP (RFC 9329), which a kernel with espintcp would do.
        static unsigned char framed[1024];

        int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
            static int (*next)(int, int, int, const void *, socklen_t);
            if (!next) next = dlsym(RTLD_NEXT, "setsockopt");
            if (level == IPPROTO_TCP && name == 31 && fd >= 0 && fd < 1024) {
                framed[fd] = 1;
                return 0;
            }
            return next(fd, level, name, value, size);
        }

        ssize_t read(int fd, void *buffer, size_t length) {
            static ssize_t (*next)(int, void *, size_t);
            static ssize_t (*take)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
            static unsigned char frame[65536];
            if (!next) next = dlsym(RTLD_NEXT, "read");
            if (!take) take = dlsym(RTLD_NEXT, "recvfrom");
            if (fd < 0 || fd >= 1024 || !framed[fd]) return next(fd, buffer, length);
            ssize_t count = take(fd, frame, 2, MSG_PEEK | MSG_DONTWAIT, 0, 0);
            if (count <= 0) return count;
            size_t whole = count == 2 ? frame[0] << 8 | frame[1] : 0;
            if (whole < 2 || take(fd, frame, whole, MSG_PEEK | MSG_DONTWAIT, 0, 0) < (ssize_t)whole) {
                errno = EAGAIN;
                return -1;
            }
            take(fd, frame, whole, MSG_DONTWAIT, 0, 0);
            if (whole - 2 < length) length = whole - 2;
            memcpy(buffer, frame + 2, length);
            return length;
        }

        ssize_t write(int fd, const void *buffer, size_t length) {
            static ssize_t (*next)(int, const void *, size_t);
            unsigned char frame[65536];
            if (!next) next = dlsym(RTLD_NEXT, "write");
            if (fd < 0 || fd >= 1024 || !framed[fd] || length > sizeof frame - 2) return next(fd, buffer, length);
            frame[0] = (length + 2) >> 8;
            frame[1] = length + 2;
            memcpy(frame + 2, buffer, length);
            ssize_t count = next(fd, frame, length + 2);
            return count < 0 ? count : count - 2;
        }

        int close(int fd) {
            static int (*next)(int);
            if (!next) next = dlsym(RTLD_NEXT, "close");
            if (fd >= 0 && fd < 1024) framed[fd] = 0;
            return next(fd);
        }
        """
}
