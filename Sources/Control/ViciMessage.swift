package import Primitives

/// A message of the vici protocol: names with values, lists or sections, in order.
///
/// Values are octets on the wire; nearly all are text. Names are unique within a section; the last of equals wins on
/// reading by name.
package struct ViciMessage: Hashable, Sendable {
    /// What a name stands for.
    package enum Element: Hashable, Sendable {
        case value([UInt8])
        case list([[UInt8]])
        case section(ViciMessage)
    }

    /// One name with what it stands for.
    package struct Entry: Hashable, Sendable {
        package var name: String
        package var element: Element

        package init(_ name: String, _ element: Element) {
            self.name = name
            self.element = element
        }
    }

    package var entries: [Entry]

    package init(_ entries: [Entry] = []) { self.entries = entries }

    package var isEmpty: Bool { entries.isEmpty }

    /// The element of that name.
    package func element(_ name: String) -> Element? { entries.last { $0.name == name }?.element }

    /// A value as text; `nil` where the name is absent, is no value, or is not UTF-8.
    package func text(_ name: String) -> String? {
        guard case .value(let octets) = element(name) else { return nil }
        return String(validating: octets, as: UTF8.self)
    }

    /// A list as text, without items that are not UTF-8; empty where the name is absent or no list.
    package func list(_ name: String) -> [String] {
        guard case .list(let items) = element(name) else { return [] }
        return items.compactMap { String(validating: $0, as: UTF8.self) }
    }

    /// A section; `nil` where the name is absent or no section.
    package func section(_ name: String) -> ViciMessage? {
        guard case .section(let section) = element(name) else { return nil }
        return section
    }

    /// All sections with their names, in order.
    package var sections: [(name: String, message: ViciMessage)] {
        entries.compactMap { entry in
            if case .section(let section) = entry.element { (entry.name, section) } else { nil }
        }
    }

    /// vici's `yes`; anything else is `false`.
    package func flag(_ name: String) -> Bool { text(name) == "yes" }

    /// Adds a value. Names longer than 255 octets and values longer than 65535 do not fit the wire and are cut there.
    package mutating func add(_ name: String, _ value: some CustomStringConvertible) {
        entries.append(Entry(name, .value(Array(value.description.utf8))))
    }

    /// Adds vici's `yes` or `no`.
    package mutating func add(_ name: String, flag: Bool) { add(name, flag ? "yes" : "no") }

    /// Adds a value unless there is none: charon leaves absent keys out.
    package mutating func add(_ name: String, optional value: (some CustomStringConvertible)?) {
        if let value { add(name, value) }
    }

    /// Adds a list of texts.
    package mutating func add(_ name: String, list: [some CustomStringConvertible]) {
        entries.append(Entry(name, .list(list.map { Array($0.description.utf8) })))
    }

    /// Adds a section.
    package mutating func add(_ name: String, section: ViciMessage) {
        entries.append(Entry(name, .section(section)))
    }
}

extension ViciMessage: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, String)...) {
        entries = elements.map { Entry($0.0, .value(Array($0.1.utf8))) }
    }
}

// MARK: Wire form

extension ViciMessage {
    /// Sections inside sections that are read at most. charon's own messages have five levels.
    package static let maximumDepth = 32
    /// Elements that one message may hold. A status of a thousand SAs needs some ten thousand per event.
    package static let maximumElements = 100_000

    private enum Mark: UInt8 {
        case sectionStart = 1
        case sectionEnd = 2
        case keyValue = 3
        case listStart = 4
        case listItem = 5
        case listEnd = 6
    }

    /// Reads a whole message.
    ///
    /// - Throws: where an element is cut off, unknown, or out of place, or where a limit is passed.
    package init(parsing octets: ArraySlice<UInt8>) throws(ParseError) {
        var reader = ByteReader(octets)
        var stack: [(name: String, entries: [Entry])] = [("", [])]
        var list: (name: String, items: [[UInt8]])?
        var count = 0
        while !reader.isAtEnd {
            let offset = reader.offset
            count += 1
            guard count <= ViciMessage.maximumElements else {
                throw .invalid(offset: offset, rule: "a message holds at most \(ViciMessage.maximumElements) elements")
            }
            guard let mark = Mark(rawValue: try reader.readUInt8()) else {
                throw .invalid(offset: offset, rule: "an element's type is 1 to 6")
            }
            if list != nil, mark != .listItem, mark != .listEnd {
                throw .invalid(offset: offset, rule: "a list holds only items")
            }
            switch mark {
            case .sectionStart:
                guard stack.count <= ViciMessage.maximumDepth else {
                    throw .invalid(offset: offset, rule: "sections nest at most \(ViciMessage.maximumDepth) deep")
                }
                stack.append((try ViciMessage.readName(&reader), []))
            case .sectionEnd:
                guard stack.count > 1, let ended = stack.popLast() else {
                    throw .invalid(offset: offset, rule: "a section ends only where one began")
                }
                stack[stack.count - 1].entries.append(Entry(ended.name, .section(ViciMessage(ended.entries))))
            case .keyValue:
                let name = try ViciMessage.readName(&reader)
                stack[stack.count - 1].entries.append(Entry(name, .value(try ViciMessage.readValue(&reader))))
            case .listStart:
                list = (try ViciMessage.readName(&reader), [])
            case .listItem:
                guard list != nil else { throw .invalid(offset: offset, rule: "an item stands in a list") }
                list?.items.append(try ViciMessage.readValue(&reader))
            case .listEnd:
                guard let ended = list else { throw .invalid(offset: offset, rule: "a list ends only where one began") }
                stack[stack.count - 1].entries.append(Entry(ended.name, .list(ended.items)))
                list = nil
            }
        }
        guard stack.count == 1, list == nil else {
            throw .invalid(offset: reader.offset, rule: "every section and list is ended")
        }
        entries = stack[0].entries
    }

    static func readName(_ reader: inout ByteReader) throws(ParseError) -> String {
        let count = try reader.readUInt8()
        let offset = reader.offset
        guard let name = String(validating: try reader.read(Int(count)), as: UTF8.self) else {
            throw .invalid(offset: offset, rule: "a name is text")
        }
        return name
    }

    private static func readValue(_ reader: inout ByteReader) throws(ParseError) -> [UInt8] {
        let count = try reader.readUInt16()
        return Array(try reader.read(Int(count)))
    }

    /// The message as it goes on the wire.
    package var octets: [UInt8] {
        var octets: [UInt8] = []
        write(to: &octets)
        return octets
    }

    private func write(to octets: inout [UInt8]) {
        for entry in entries {
            switch entry.element {
            case .value(let value):
                octets.append(Mark.keyValue.rawValue)
                ViciMessage.write(name: entry.name, to: &octets)
                ViciMessage.write(value: value, to: &octets)
            case .list(let items):
                octets.append(Mark.listStart.rawValue)
                ViciMessage.write(name: entry.name, to: &octets)
                for item in items {
                    octets.append(Mark.listItem.rawValue)
                    ViciMessage.write(value: item, to: &octets)
                }
                octets.append(Mark.listEnd.rawValue)
            case .section(let section):
                octets.append(Mark.sectionStart.rawValue)
                ViciMessage.write(name: entry.name, to: &octets)
                section.write(to: &octets)
                octets.append(Mark.sectionEnd.rawValue)
            }
        }
    }

    static func write(name: String, to octets: inout [UInt8]) {
        var name = Array(name.utf8)
        if name.count > 255 { name = Array(String(decoding: name.prefix(252), as: UTF8.self).utf8.prefix(255)) }
        octets.append(UInt8(name.count))
        octets += name
    }

    private static func write(value: [UInt8], to octets: inout [UInt8]) {
        let value = value.prefix(Int(UInt16.max))
        octets.append(bigEndian: UInt16(value.count))
        octets += value
    }
}
