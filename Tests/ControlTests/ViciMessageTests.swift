import Control
import Primitives
import Testing

@Suite struct ViciMessageTests {
    /// Everything a message can hold, at several depths.
    static var sample: ViciMessage {
        var inner = ViciMessage()
        inner.add("spi-in", "c0ffee00")
        inner.add("local-ts", list: ["10.0.0.0/8", "::/0"])
        inner.add("empty", "")
        inner.add("none", list: [String]())
        var outer = ViciMessage()
        outer.add("state", "INSTALLED")
        outer.add("net-1", section: inner)
        outer.add("nothing", section: ViciMessage())
        var message = ViciMessage()
        message.add("version", 2)
        message.add("up", flag: true)
        message.add("home", section: outer)
        message.entries.append(ViciMessage.Entry("data", .value([0, 255, 10])))
        return message
    }

    /// Octets that the Python package `vici` 6.0.3 makes of an ordered dictionary.
    @Test func readsWhatPythonWrites() throws {
        let octets = try #require(
            [UInt8](
                hex: "03046b657931000676616c756531010873656374696f6e31010b7375622d73656374696f6e03046b"
                    + "657932000676616c7565320204056c697374310500056974656d310500056974656d320602"))
        let message = try ViciMessage(parsing: octets[...])
        #expect(message.text("key1") == "value1")
        let section = try #require(message.section("section1"))
        #expect(section.section("sub-section")?.text("key2") == "value2")
        #expect(section.list("list1") == ["item1", "item2"])
        #expect(message.octets == octets)
    }

    @Test func keepsEverythingOverTheWire() throws {
        let octets = ViciMessageTests.sample.octets
        #expect(try ViciMessage(parsing: octets[...]) == ViciMessageTests.sample)
    }

    @Test func readsByName() {
        let message = ViciMessageTests.sample
        #expect(message.flag("up"))
        #expect(!message.flag("absent"))
        #expect(message.text("home") == nil)
        #expect(message.section("home")?.section("net-1")?.list("local-ts") == ["10.0.0.0/8", "::/0"])
        #expect(message.list("version") == [])
        #expect(message.text("data") == nil)
        #expect(message.sections.map(\.name) == ["home"])
    }

    @Test func everyTruncationIsAnErrorOrAWholeMessage() throws {
        let octets = ViciMessageTests.sample.octets
        var errors = 0
        for count in 0..<octets.count {
            do {
                let message = try ViciMessage(parsing: octets[..<count])
                // A cut between top-level entries leaves a message with fewer of them.
                #expect(message.entries == Array(ViciMessageTests.sample.entries.prefix(message.entries.count)))
            } catch {
                errors += 1
                #expect(error.offset <= count)
            }
        }
        #expect(errors > octets.count / 2)
    }

    @Test func everyBitFlipReadsOrFailsAndWritesBackTheSame() {
        let octets = ViciMessageTests.sample.octets
        for bit in 0..<(octets.count * 8) {
            var flipped = octets
            flipped[bit / 8] ^= 1 << (bit % 8)
            if let message = try? ViciMessage(parsing: flipped[...]) { #expect(message.octets == flipped) }
        }
    }

    @Test(arguments: [
        ("02", "a section ends only where one began"), ("06", "a list ends only where one began"),
        ("05000141", "an item stands in a list"), ("07", "an element's type is 1 to 6"),
        ("00", "an element's type is 1 to 6"),
        ("010161", "every section and list is ended"), ("040161", "every section and list is ended"),
        ("040161010162", "a list holds only items"), ("0301ff000161", "a name is text"),
    ])
    func namesTheBrokenRule(_ hex: String, _ rule: String) throws {
        let octets = try #require([UInt8](hex: hex))
        let error = #expect(throws: ParseError.self) { try ViciMessage(parsing: octets[...]) }
        guard case .invalid(_, let broken) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(broken == rule)
    }

    @Test func limitsDepthAndCount() {
        let deep = Array(repeating: [UInt8]([1, 0]), count: 33).flatMap { $0 } + Array(repeating: UInt8(2), count: 33)
        #expect(throws: ParseError.self) { try ViciMessage(parsing: deep[...]) }
        let fine = Array(repeating: [UInt8]([1, 0]), count: 32).flatMap { $0 } + Array(repeating: UInt8(2), count: 32)
        #expect(throws: Never.self) { try ViciMessage(parsing: fine[...]) }
        let many = Array(repeating: [UInt8]([3, 0, 0, 0]), count: ViciMessage.maximumElements + 1).flatMap { $0 }
        #expect(throws: ParseError.self) { try ViciMessage(parsing: many[...]) }
    }

    @Test func cutsWhatDoesNotFit() throws {
        var message = ViciMessage()
        message.add(String(repeating: "n", count: 300), String(repeating: "v", count: 70_000))
        let read = try ViciMessage(parsing: message.octets[...])
        #expect(read.entries.first?.name.utf8.count == 252)
        guard case .value(let value) = read.entries.first?.element else {
            Issue.record("no value")
            return
        }
        #expect(value.count == 65_535)
    }

    @Test func becomesJSON() {
        #expect(
            ViciMessageTests.sample.json(indentation: 0)
                == #"{"version":"2","up":"yes","home":{"state":"INSTALLED","net-1":{"spi-in":"c0ffee00","#
                + #""local-ts":["10.0.0.0/8","::/0"],"empty":"","none":[]},"nothing":{}},"data":"0x00ff0a"}"#)
        #expect((["a": "b"] as ViciMessage).json() == "{\n  \"a\": \"b\"\n}")
        #expect(JSONValue.quoted("\"\\\n\u{1}é") == #""\"\\\n\u0001é""#)
    }
}
