import ArgumentParser
import Platform
import Primitives

/// Ways into the tunnel that need no TUN device (`parley run`).
struct FrontOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Offer SOCKS5 on this port of 127.0.0.1, or on ADDRESS:PORT.", valueName: "[address:]port"))
    var socks: [String] = []

    @Option(
        help: ArgumentHelp(
            "Offer HTTP CONNECT on this port of 127.0.0.1, or on ADDRESS:PORT.", valueName: "[address:]port"))
    var httpProxy: [String] = []

    @Option(
        help: ArgumentHelp(
            "Pass connections to this port of 127.0.0.1 on to a host behind the tunnel.",
            valueName: "[address:]port=host:port"))
    var forward: [String] = []

    @Option(
        help: ArgumentHelp(
            "Our address inside the tunnel, one of each family; not needed where the gateway gives one.",
            valueName: "address"))
    var innerAddress: [String] = []

    func validate() throws {
        for text in socks + httpProxy where FrontConfiguration.listener(text) == nil {
            throw ValidationError("'\(text)' is neither a port nor an address with one, such as [::1]:1080")
        }
        for text in forward where FrontConfiguration.Forward(text) == nil {
            throw ValidationError("'\(text)' is no forward, such as 8022=10.2.0.1:22")
        }
        for text in innerAddress where IPAddress(text) == nil {
            throw ValidationError("'\(text)' is no IP address")
        }
        if configuration.isEmpty, !innerAddress.isEmpty {
            throw ValidationError("--inner-address goes with --socks, --http-proxy or --forward")
        }
    }

    /// What the options say; ``validate()`` has judged them.
    var configuration: FrontConfiguration {
        var configuration = FrontConfiguration()
        configuration.socks = socks.compactMap { FrontConfiguration.listener($0) }
        configuration.web = httpProxy.compactMap { FrontConfiguration.listener($0) }
        configuration.forwards = forward.compactMap { FrontConfiguration.Forward($0) }
        configuration.addresses = innerAddress.compactMap { IPAddress($0) }
        return configuration
    }
}
