import Configuration
import Cryptography
import IPsec
import Logging
package import Platform
import Primitives

/// This program's version.
package enum ParleyVersion {
    package static let text = "0.1.0"
}

/// How a daemon is to run.
package struct DaemonConfiguration: Sendable {
    /// A `swanctl.conf`, or a directory that holds one; `nil`: connections come over the control socket.
    package var files: String?
    /// The path of the control socket.
    package var socketPath: String
    /// The TUN device's name.
    package var tunnelName = "parley%d"
    /// Where this offers anything, there is no TUN device: programs reach the tunnel through it, and no right is needed.
    package var front = FrontConfiguration()
    /// A `strongswan.conf`; `nil`: the one that belongs to ``files``, where there is one.
    package var settingsFile: String?
    /// `nil`: what the settings say.
    package var logLevels: LogLevels?
    package var logFormat = LogFormat.text
    /// The port on the loopback address for `/metrics` and `/health`; `nil`: none.
    package var observationPort: UInt16?
    /// A directory for the keys of all SAs, as a profile of Wireshark's; `nil`: none are written.
    package var keyLogDirectory: String?
    /// A directory for what outlives a restart; `nil`: nothing does.
    package var stateDirectory: String?

    package init(files: String?, socketPath: String) {
        self.files = files
        self.socketPath = socketPath
    }
}

/// Why a daemon did not start; what to tell the operator.
package struct DaemonFailure: Error, CustomStringConvertible {
    package let description: String
}

package enum Daemon {
    /// Runs in the foreground until SIGINT or SIGTERM, then deletes all SAs and returns. SIGHUP reads the
    /// configuration again.
    ///
    /// - Throws: where the configuration is wrong (every error in it at once), or the machine refuses a socket or the
    ///   TUN device.
    package static func run(_ daemon: DaemonConfiguration) throws(DaemonFailure) {
        var configuration = Configuration()
        let read =
            daemon.files.map { ConfigurationFiles.load($0, settingsFile: daemon.settingsFile) }
            ?? ConfigurationFiles.loadSettings(daemon.settingsFile).map { Configuration(settings: $0) }
        switch read {
        case .success(let loaded): configuration = loaded
        case .failure(let errors): throw DaemonFailure(description: errors.description)
        }
        let inbox = Inbox()
        // Before any thread exists, so that all inherit the signals' mask.
        Signals.watch { inbox.post(.signal($0)) }
        let format = daemon.logFormat
        var logger = Logger(label: "parley") { label in
            switch format {
            case .text: StreamLogHandler.standardError(label: label)
            case .json: JSONLogHandler(label: label) { StandardError.write($0) }
            }
        }
        logger.logLevel = (daemon.logLevels ?? LogLevels(charon: configuration.settings.logLevels)).lowest
        do {
            var keyLog: KeyLog?
            if let directory = daemon.keyLogDirectory {
                do { keyLog = try KeyLog(directory: directory) } catch {
                    throw DaemonFailure(description: "key log: \(error)")
                }
                logger.warning("the keys of all SAs are written to \(directory): who reads them reads the traffic")
            }
            var standingSecret: Secret?
            var leaseArchive: LeaseArchive?
            if let directory = daemon.stateDirectory {
                do throws(LeaseDatabase.Failure) {
                    leaseArchive = try LeaseArchive(directory: directory) { [logger] in logger.error("\($0)") }
                } catch {
                    throw DaemonFailure(description: "state directory \(directory): \(error)")
                }
                do { standingSecret = try StandingSecret.load(directory: directory) } catch {
                    throw DaemonFailure(description: "state directory \(directory): \(error)")
                }
            }
            do throws(PlatformError) { try Machine.keepMemoryPrivate() } catch { logger.warning("\(error)") }
            Machine.raiseDescriptorLimit()
            // Where systemd holds the socket, clients that come before us, or while we start anew, only wait.
            let listener =
                try ServiceSockets().control.map { descriptor throws(ControlSocketError) in
                    try ControlListener(adopting: descriptor)
                } ?? ControlListener(path: daemon.socketPath)
            let plane = try UserspaceEngine(
                try planeConfiguration(daemon, configuration),
                receiveIKE: { datagram, _ in inbox.post(.datagram(datagram)) },
                report: { event in
                    switch event {
                    case .inboundTraffic(let child, _): inbox.post(.inboundTraffic(child))
                    case .exhausted(let child): inbox.post(.exhausted(child))
                    case .expired(let child): inbox.post(.expired(child))
                    case .acquire(let connection, let child): inbox.post(.acquire(connection: connection, child: child))
                    case .mappingChanged(let child, let endpoint): inbox.post(.mappingChanged(child, endpoint))
                    }
                })
            defer { plane.close() }
            PathWatch.start(inbox)
            let server = ViciServer(listener: listener)
            let loop = ControlLoop(
                files: daemon.files, settingsFile: daemon.settingsFile, configuration: configuration, inbox: inbox,
                plane: plane, server: server,
                logger: logger, logLevels: daemon.logLevels, keyLog: keyLog,
                standingSecret: standingSecret, stateDirectory: daemon.stateDirectory,
                leaseArchive: leaseArchive)
            if let port = daemon.observationPort {
                Observatory(inbox: inbox).start(port: port) { [logger] in logger.error("\($0)") }
            }
            logger.notice(
                "parley \(ParleyVersion.text) runs",
                metadata: [
                    "connections": "\(configuration.connections.count)", "socket": "\(daemon.socketPath)",
                    "ports": "\(plane.boundPort) \(plane.boundNATPort)",
                ])
            loop.run()
            server.finish()
            leaseArchive?.finish()
        } catch let error as DaemonFailure {
            throw error
        } catch let error as ControlSocketError {
            throw DaemonFailure(description: "control socket: \(error)")
        } catch {
            throw DaemonFailure(description: "\(error)")
        }
    }

    private static func planeConfiguration(
        _ daemon: DaemonConfiguration, _ configuration: Configuration
    ) throws(PlatformError) -> UserspaceConfiguration {
        var plane = UserspaceConfiguration()
        plane.port = configuration.settings.engine.port
        plane.natPort = configuration.settings.engine.natPort
        plane.streamPorts = configuration.settings.streamPorts
        plane.tunnelName = daemon.tunnelName
        plane.installsRoutes = configuration.settings.installsRoutes
        plane.adaptsMTU = true
        plane.workers = configuration.settings.packetWorkers
        if !daemon.front.isEmpty {
            plane.tunnelName = nil
            plane.front = try Front(daemon.front)
        }
        return plane
    }
}
