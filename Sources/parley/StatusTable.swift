import Control

/// `list-sa` messages for a person to read.
enum StatusTable {
    /// Several lines for each IKE SA, its children below it.
    static func lines(_ messages: [ViciMessage]) -> [String] {
        messages.flatMap { message in
            // One section each, named for the connection; `ike-updown` has a flag before it.
            message.sections.flatMap { association(name: $0.name, $0.message) }
        }
    }

    private static func association(name: String, _ section: ViciMessage) -> [String] {
        func text(_ key: String) -> String { section.text(key) ?? "?" }
        var head = "\(name)[\(text("uniqueid"))]: IKEv\(text("version")) \(text("state"))"
        head += section.flag("initiator") ? ", initiator" : ", responder"
        if let original = section.text("cloned-from") { head += ", clone of [\(original)]" }
        head += time(section, "established") { ", up for \($0)" }
        head += time(section, "rekey-time") { ", rekey in \($0)" }
        head += time(section, "reauth-time") { ", reauthentication in \($0)" }
        var lines = [head]
        for end in ["local", "remote"] {
            let nat = section.flag("nat-\(end)") ? "  behind NAT" : ""
            let label = end.padding(to: 6)
            lines.append("  \(label)  \(text("\(end)-host"))[\(text("\(end)-port"))]  \(text("\(end)-id"))\(nat)")
        }
        if let user = section.text("remote-xauth-id") ?? section.text("remote-eap-id") {
            lines.append("  user    \(user)")
        }
        for (key, label) in [("local-vips", "own"), ("remote-vips", "given")] {
            let addresses = section.list(key)
            if !addresses.isEmpty { lines.append("  \(label.padding(to: 6))  \(addresses.joined(separator: " "))") }
        }
        if let suite = suite(section) { lines.append("  suite   \(suite)") }
        lines.append("  SPIs    \(text("initiator-spi"))_i \(text("responder-spi"))_r")
        for (key, label) in [("tasks-active", "active"), ("tasks-queued", "queued")] {
            let tasks = section.list(key)
            if !tasks.isEmpty { lines.append("  \(label)  \(tasks.joined(separator: ", "))") }
        }
        for child in section.section("child-sas")?.sections ?? [] { lines += self.child(child.message) }
        return lines
    }

    private static func child(_ section: ViciMessage) -> [String] {
        func text(_ key: String) -> String { section.text(key) ?? "?" }
        var head = "  \(text("name")){\(text("uniqueid"))}: \(text("state")), \(text("mode")), \(text("protocol"))"
        if section.flag("encap") { head += " in UDP" }
        head += ", reqid \(text("reqid"))"
        if section.flag("per-cpu-sas") {
            head += ", for \(section.text("cpu").map { "processor \($0)" } ?? "all processors")"
        }
        head += time(section, "install-time") { ", up for \($0)" }
        head += time(section, "rekey-time") { ", rekey in \($0)" }
        head += time(section, "life-time") { ", ends in \($0)" }
        let local = section.list("local-ts").joined(separator: " ")
        let remote = section.list("remote-ts").joined(separator: " ")
        var lines = [head, "    \(local) === \(remote)"]
        if let suite = suite(section) { lines.append("    suite  \(suite)") }
        if let device = section.text("mtu"), let path = section.text("mtu-path"), let inner = section.text("mtu-inner")
        {
            // The device serves all children, and so the narrowest.
            let reason = device == inner ? "" : ", of which \(device) are used beside the other children"
            let source = section.text("mtu-source") == "probing" ? ", as larger packets did not arrive" : ""
            lines.append("    mtu    \(inner) inside of \(path)\(source)\(reason)")
        }
        for direction in ["in", "out"] {
            let octets = amount(section.text("bytes-\(direction)"))
            let packets = section.text("packets-\(direction)") ?? "0"
            let use = time(section, "use-\(direction)") { ", last \($0) ago" }
            lines.append(
                "    \(direction.padding(to: 5))  \(text("spi-\(direction)"))  \(octets), "
                    + "\(packets) \(packets == "1" ? "packet" : "packets")\(use)")
        }
        return lines
    }

    /// `AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384`, as swanctl shows it.
    private static func suite(_ section: ViciMessage) -> String? {
        var parts: [String] = []
        // AH has no encryption.
        if let encryption = section.text("encr-alg") {
            parts.append(encryption + (section.text("encr-keysize").map { "-\($0)" } ?? ""))
        }
        for key in ["integ-alg", "prf-alg", "dh-group"] {
            if let name = section.text(key) { parts.append(name) }
        }
        if section.text("esn") == "1" { parts.append("ESN") }
        return parts.isEmpty ? nil : parts.joined(separator: "/")
    }

    private static func time(_ section: ViciMessage, _ key: String, _ text: (String) -> String) -> String {
        guard let seconds = section.text(key).flatMap({ Int64($0) }) else { return "" }
        return text(duration(seconds))
    }

    /// The two largest units: `3h52m`, `45s`.
    static func duration(_ seconds: Int64) -> String {
        let units: [(Int64, String)] = [(86_400, "d"), (3600, "h"), (60, "m")]
        for (index, (size, name)) in units.enumerated() where seconds >= size {
            let (whole, rest) = seconds.quotientAndRemainder(dividingBy: size)
            let (smaller, smallerName) = index + 1 < units.count ? units[index + 1] : (1, "s")
            let part = rest / smaller
            return "\(whole)\(name)" + (part == 0 ? "" : "\(part)\(smallerName)")
        }
        return "\(seconds)s"
    }

    /// Octets with a binary unit and one decimal from 1 KiB on.
    static func amount(_ text: String?) -> String {
        guard let octets = text.flatMap({ UInt64($0) }) else { return "? B" }
        var tenths = octets.multipliedReportingOverflow(by: 10)
        if tenths.overflow { tenths.partialValue = .max }
        var value = tenths.partialValue
        var unit = "B"
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] where value >= 10_240 {
            value /= 1024
            unit = next
        }
        return unit == "B" ? "\(octets) B" : "\(value / 10).\(value % 10) \(unit)"
    }
}

extension String {
    /// The text with spaces behind, at least `count` characters.
    fileprivate func padding(to count: Int) -> String {
        self + String(repeating: " ", count: max(0, count - self.count))
    }
}
