internal import IPsec

/// One end of a tunnel between two sites, from which the `swanctl.conf` of both follows.
package struct SiteEnd: Hashable, Sendable {
    /// Its identity, a name in its certificate.
    package var identity: String
    /// Where its peer finds it.
    package var address: String
    /// The networks behind it.
    package var networks: [String]

    package init(identity: String, address: String, networks: [String]) {
        self.identity = identity
        self.address = address
        self.networks = networks
    }

    /// `IDENTITY=ADDRESS=NETWORK[,NETWORK…]`; `nil` where the text has not these parts.
    package init?(_ text: String) {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts.allSatisfy({ !$0.isEmpty && !$0.contains { " \"{}#\n".contains($0) } }),
            Identity(parts[0]) != nil
        else { return nil }
        self.init(
            identity: parts[0], address: parts[1], networks: parts[2].split(separator: ",").map(String.init))
    }

    /// The configuration of this end towards `other`; both Parley and charon read it.
    ///
    /// - Parameters:
    ///   - certificate: the file of our own certificate in the directory `x509`.
    ///   - authority: the file of the authority in the directory `x509ca`.
    package func configuration(towards other: SiteEnd, certificate: String, authority: String) -> String {
        """
        connections {
            site {
                version = 2
                local_addrs = \(address)
                remote_addrs = \(other.address)
                local {
                    auth = pubkey
                    certs = \(certificate)
                    id = \(identity)
                }
                remote {
                    auth = pubkey
                    cacerts = \(authority)
                    id = \(other.identity)
                }
                children {
                    net {
                        local_ts = \(networks.joined(separator: ", "))
                        remote_ts = \(other.networks.joined(separator: ", "))
                    }
                }
            }
        }

        """
    }
}
