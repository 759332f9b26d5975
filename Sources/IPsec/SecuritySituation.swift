/// One kind of label: how secret something is, or how far it can be trusted (RFC 2407 §4.6.1). What levels and categories
/// mean is for the labelled domain to say; two labels are alike or not.
package struct SecurityLabel: Hashable, Sendable {
    /// The level that is required, as octets of the domain's own form.
    package var level: [UInt8]
    /// The numbers of the categories (compartments) that are required, from 0: bits of the bitmap, the first octet's highest
    /// bit first.
    package var categories: Set<UInt16>
    /// Bits of the bitmap; more than the highest category.
    package var categoryBits: UInt16

    /// Levels and bitmaps longer than this have no use, and would make a large message.
    package static let maximumLevelOctets = 256
    package static let maximumCategoryBits: UInt16 = 2048

    package init(level: [UInt8], categories: Set<UInt16>, categoryBits: UInt16? = nil) {
        self.level = level
        self.categories = categories
        let needed = categories.max().map { $0 + 1 } ?? 0
        self.categoryBits = max(categoryBits ?? needed, needed)
    }

    /// Labels are alike where level and categories are: trailing zeros of a bitmap say nothing.
    package static func == (left: SecurityLabel, right: SecurityLabel) -> Bool {
        left.level == right.level && left.categories == right.categories
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(level)
        hasher.combine(categories)
    }
}

extension SecurityLabel: CustomStringConvertible {
    /// `LEVEL` or `LEVEL:CATEGORY,CATEGORY`, the level in hexadecimal digits.
    package var description: String {
        let level = level.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return categories.isEmpty ? level : level + ":" + categories.sorted().map(String.init).joined(separator: ",")
    }

    /// `nil` where the text is none, or says more than ``maximumLevelOctets`` and ``maximumCategoryBits`` allow.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let digits = Array(parts[0])
        guard !digits.isEmpty, digits.count.isMultiple(of: 2), digits.count / 2 <= Self.maximumLevelOctets else {
            return nil
        }
        var level: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard digits[index].isHexDigit, digits[index + 1].isHexDigit,
                let octet = UInt8(String(digits[index...(index + 1)]), radix: 16)
            else { return nil }
            level.append(octet)
        }
        var categories: Set<UInt16> = []
        for number in parts.count > 1 ? parts[1].split(separator: ",", omittingEmptySubsequences: false) : [] {
            guard let category = UInt16(number), category < Self.maximumCategoryBits else { return nil }
            categories.insert(category)
        }
        self.init(level: level, categories: categories)
    }
}

/// Under which circumstances an SA is to be made (RFC 2407 §4.2): identities alone decide, or labels must be met as well.
package struct SecuritySituation: Hashable, Sendable {
    /// Says what levels and categories mean (RFC 2407 §4.6.1.1); 0 where there is no label.
    package var labelledDomain: UInt32
    /// SIT_SECRECY (RFC 2407 §4.2.2).
    package var secrecy: SecurityLabel?
    /// SIT_INTEGRITY (RFC 2407 §4.2.3).
    package var integrity: SecurityLabel?

    package init(labelledDomain: UInt32 = 0, secrecy: SecurityLabel? = nil, integrity: SecurityLabel? = nil) {
        self.labelledDomain = secrecy == nil && integrity == nil ? 0 : labelledDomain
        self.secrecy = secrecy
        self.integrity = integrity
    }

    /// SIT_IDENTITY_ONLY (RFC 2407 §4.2.1).
    package static let identityOnly = SecuritySituation()
    package var isLabelled: Bool { secrecy != nil || integrity != nil }
}

extension SecuritySituation: CustomStringConvertible {
    package var description: String {
        let parts =
            [secrecy.map { "secrecy \($0)" }, integrity.map { "integrity \($0)" }].compactMap { $0 }
            + (isLabelled ? ["domain \(labelledDomain)"] : [])
        return parts.isEmpty ? "identity only" : parts.joined(separator: ", ")
    }
}
