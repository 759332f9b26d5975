import Configuration
import Testing

/// Writes a tree on one line, for comparison.
private func text(_ section: SettingsSection) -> String {
    let settings = section.settings.map { "\($0.name)=\($0.value.text)" }
    let sections = section.sections.map { "\($0.name.text){\(text($0))}" }
    return (settings + sections).joined(separator: " ")
}

private func parse(_ source: String, files: [String: String] = [:]) -> (text: String, diagnostics: [String]) {
    let result = SettingsParser.parse(SourceFile(name: "swanctl.conf", text: source)) { pattern, _ in
        if pattern.hasSuffix("*.conf") {
            let folder = pattern.dropLast("*.conf".count)
            return .success(
                files.keys.sorted().filter { $0.hasPrefix(folder) }.map { SourceFile(name: $0, text: files[$0] ?? "") })
        }
        guard let text = files[pattern] else { return .failure(IncludeFailure("no such file")) }
        return .success([SourceFile(name: pattern, text: text)])
    }
    return (text(result.settings.tree), result.diagnostics.map(\.description))
}

@Suite struct SettingsParserTests {
    @Test func readsSectionsSettingsAndComments() {
        let source = """
            # a comment
            a {
                key = value   # behind
                list = one,  two ,three
                empty =
                b{inner=1}
            }
            other
            {
            } c { x = 1 }
            """
        let result = parse(source)
        #expect(result.text == "a{key=value list=one, two ,three empty= b{inner=1}} other{} c{x=1}")
        #expect(result.diagnostics == [])
    }

    @Test func readsQuotedText() {
        let source = #"a = "x # y { } \"q\" \\ \t|" b"# + "\nc = \"one \\\ntwo\nthree\"\n\"d e\" = 1\n"
        let result = parse(source)
        #expect(result.text == "a=x # y { } \"q\" \\ \t| b c=one two\nthree d e=1")
        #expect(result.diagnostics == [])
    }

    @Test func valuesKeepWhatNamesCannotHold() {
        #expect(
            parse("id = keyid:0a, b=c: {x\nt = 10.0.0.0/8[tcp/80]").text == "id=keyid:0a, b=c: {x t=10.0.0.0/8[tcp/80]")
        // As in charon, a comment may follow without white space: what holds a '#' must be quoted.
        #expect(parse("id = @#0a").text == "id=@")
    }

    @Test func mergesRepeatedSections() {
        let result = parse("a {\n x = 1\n y = 1\n b { z = 1 }\n}\na {\n y = 2\n b { w = 2 }\n}\n")
        #expect(result.text == "a{x=1 y=2 b{z=1 w=2}}")
    }

    @Test func includesFilesInPlace() {
        let result = parse(
            "connections {\n  include conf.d/*.conf\n}\ninclude \"more files\"\ninclude none/*.conf\ninclude = 1",
            files: ["conf.d/a.conf": "a { x = 1 }", "conf.d/b.conf": "b { x = 2 }\na { y = 3 }", "more files": "s = 1"])
        #expect(result.text == "s=1 include=1 connections{a{x=1 y=3} b{x=2}}")
        #expect(result.diagnostics == [])
    }

    @Test func includesReportWhatFails() {
        #expect(
            parse("a {\n  include gone.conf\n}").diagnostics == [
                "swanctl.conf:2:11: cannot include 'gone.conf': no such file"
            ])
        #expect(
            parse("include # nothing").diagnostics == ["swanctl.conf:1:9: 'include' needs the path of a file behind it"]
        )
        let loop = parse("include a", files: ["a": "include a"])
        #expect(loop.diagnostics == ["a:1:9: files include each other more than 10 levels deep"])
        #expect(
            parse("include a", files: ["a": "x = \"y"]).diagnostics == [
                "a:1:5: quoted text is not closed: '\"' is missing"
            ])
    }

    @Test func referencesHandDownWhatIsNotSet() {
        let source = """
            base {
                x = 1
                y = 1
                children { net { ts = 1 } }
            }
            more : base {
                y = 2
                z = 2
            }
            a : more, base {
                z =
                children { net { mode = 3 } other : base.children.net { } }
            }
            """
        let result = parse(source)
        #expect(
            result.text.hasSuffix("a{y=2 x=1 children{net{mode=3 ts=1} other{ts=1}}}"), "\(result.text)")
        #expect(result.diagnostics == [])
    }

    @Test func referencesReportWhatIsWrong() {
        #expect(
            parse("base {}\na : bsae {\n}").diagnostics == [
                "swanctl.conf:2:5: reference to unknown section 'bsae': there is no 'bsae'; did you mean 'base'?"
            ])
        #expect(
            parse("base { b {} }\na : base.c {\n}").diagnostics == [
                "swanctl.conf:2:5: reference to unknown section 'base.c': there is no 'c' in 'base'; did you mean 'b'?"
            ])
        #expect(parse("a : a { }").diagnostics == ["swanctl.conf:1:5: section 'a' refers to itself"])
        #expect(!parse("a : b { }\nb : a { }").diagnostics.isEmpty)
        // Each level of `a.b` holds another one.
        #expect(!parse("a { b : a { } }").diagnostics.isEmpty)
        // Ten sections that each refer to all before would grow without a bound.
        var source = "s0 { x = 1 }\n"
        for index in 1..<30 {
            source += "s\(index) : " + (0..<index).map { "s\($0)" }.joined(separator: ", ") + " { }\n"
        }
        #expect(parse(source).diagnostics.contains { $0.contains("too many references") })
    }

    @Test(arguments: [
        ("}", "1:1: unexpected '}': no section is open"),
        ("a {\n b = 1\n", "1:1: section 'a' is not closed: '}' is missing"),
        ("= 1", "1:1: unexpected '=': a key or a section's name must come first"),
        ("{ x = 1 }", "1:1: unexpected '{': a key or a section's name must come first"),
        ("key value", "1:1: '= value' or '{ … }' must follow this name"),
        ("key", "1:1: '= value' or '{ … }' must follow this name"),
        ("a { key }", "1:5: '= value' or '{ … }' must follow this name"),
        ("a = \"x\ny", "1:5: quoted text is not closed: '\"' is missing"),
        ("\"x", "1:1: quoted text is not closed: '\"' is missing"),
        ("a \"x", "1:3: quoted text is not closed: '\"' is missing"),
        ("a : { }", "1:5: the path of a section must follow here"),
        ("b { }\na : b c { }", "2:7: expected ',' or '{' after a reference"),
        ("a.b { }", "1:1: a section's name cannot hold '.', which separates the parts of references"),
    ])
    func reportsSyntaxErrors(_ source: String, _ expected: String) {
        #expect(parse(source).diagnostics == ["swanctl.conf:" + expected])
    }

    @Test func goesOnAfterAnError() {
        let result = parse("= 1\na {\n  b\n  c = 2\n}\n: x\nd = 3")
        #expect(result.text == "d=3 a{c=2}")
        #expect(result.diagnostics.count == 3)
    }

    @Test func limitsDepthAndErrors() {
        let deep = String(repeating: "a {", count: 20) + String(repeating: "}", count: 20)
        #expect(parse(deep).diagnostics == ["swanctl.conf:1:49: sections nest deeper than 16 levels"])
        #expect(parse(String(repeating: "= 1\n", count: 1000)).diagnostics.count == 200)
    }

    @Test func everyBeginningOfAFileIsRead() {
        let source = "a : b, c {\n k = \"v\\\" \" w # c\n include x\n d { e = f }\n}\nb{}\nc{}\n"
        for count in 0...source.count {
            let result = SettingsParser.parse(SourceFile(name: "f", text: String(source.prefix(count))))
            #expect(result.diagnostics.count < 10)
        }
        #expect(parse(source.replacing("include x", with: "")).diagnostics == [])
    }
}
