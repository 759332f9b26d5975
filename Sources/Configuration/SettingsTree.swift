/// A name or value as a file wrote it.
package struct SpannedText: Hashable, Sendable {
    package var text: String
    package var position: SourcePosition

    package init(_ text: String, at position: SourcePosition) {
        self.text = text
        self.position = position
    }
}

/// `key = value`. An empty value unsets what a reference would hand down.
package struct Setting: Hashable, Sendable {
    package var key: SpannedText
    package var value: SpannedText

    package init(key: SpannedText, value: SpannedText) {
        self.key = key
        self.value = value
    }

    package var name: String { key.text }
}

/// A section of strongSwan's settings syntax: settings and sections by name, in the order of their first appearance.
/// Repeated sections are one, and the last of repeated settings counts.
package struct SettingsSection: Hashable, Sendable {
    package var name: SpannedText
    package var settings: [Setting] = []
    package var sections: [SettingsSection] = []
    /// Full paths of sections whose contents this one takes over where it does not set its own (`name : other.path`).
    /// Empty in a resolved tree.
    package var references: [SpannedText] = []

    package init(name: SpannedText) { self.name = name }

    package func setting(_ name: String) -> Setting? { settings.first { $0.name == name } }
    package func section(_ name: String) -> SettingsSection? { sections.first { $0.name.text == name } }

    /// Takes a setting in, in the place of the one of that name where there is one.
    package mutating func set(_ setting: Setting) {
        if let index = settings.firstIndex(where: { $0.name == setting.name }) {
            settings[index] = setting
        } else {
            settings.append(setting)
        }
    }

    /// Takes a section in, into the one of that name where there is one.
    package mutating func merge(_ section: SettingsSection) {
        guard let index = sections.firstIndex(where: { $0.name.text == section.name.text }) else {
            sections.append(section)
            return
        }
        sections[index].absorb(section)
    }

    /// Adds another section's contents; the other one's settings win.
    mutating func absorb(_ other: SettingsSection) {
        for setting in other.settings { set(setting) }
        for section in other.sections { merge(section) }
        references += other.references.filter { !references.map(\.text).contains($0.text) }
    }
}

extension SettingsSection {
    /// Sections and settings that a resolved tree may have in all: references multiply what a small file says.
    static let maximumResolvedNodes = 200_000
    /// How deep sections may nest. swanctl.conf needs five levels.
    package static let maximumDepth = 16

    /// The tree with every reference replaced by what it refers to: a section's own settings first, then those of its
    /// references in their order, and so on below; an empty value hides a setting that would come from a reference.
    func resolved(_ diagnostics: inout [Diagnostic]) -> ResolvedSettings {
        var resolver = ReferenceResolver(root: self)
        let tree = resolver.resolve([self], depth: 0)
        diagnostics += resolver.diagnostics
        return ResolvedSettings(tree: tree, templates: resolver.templates)
    }
}

/// A tree without references.
package struct ResolvedSettings: Hashable, Sendable {
    package var tree: SettingsSection
    /// Names of top-level sections that others took contents from.
    package var templates: Set<String>
}

/// Expands references against the whole tree.
private struct ReferenceResolver {
    let root: SettingsSection
    var diagnostics: [Diagnostic] = []
    var templates: Set<String> = []
    private var reported: Set<SourcePosition> = []
    private var nodes = 0

    init(root: SettingsSection) { self.root = root }

    /// `stack`: sections that make up one, the strongest first.
    mutating func resolve(_ stack: [SettingsSection], depth: Int) -> SettingsSection {
        var sources: [SettingsSection] = []
        var path: [String] = []
        for section in stack { expand(section, into: &sources, path: &path) }

        var result = SettingsSection(name: stack[0].name)
        guard depth <= SettingsSection.maximumDepth else {
            report("sections nest deeper than \(SettingsSection.maximumDepth) levels", at: stack[0].name.position)
            return result
        }
        guard nodes <= SettingsSection.maximumResolvedNodes else {
            report("references make the configuration too large", at: stack[0].name.position)
            return result
        }
        var seen: Set<String> = []
        for setting in sources.flatMap(\.settings) where seen.insert(setting.name).inserted {
            nodes += 1
            if !setting.value.text.isEmpty || sources.count == 1 { result.settings.append(setting) }
        }
        var order: [String] = []
        var byName: [String: [SettingsSection]] = [:]
        for section in sources.flatMap(\.sections) {
            if byName[section.name.text] == nil { order.append(section.name.text) }
            byName[section.name.text, default: []].append(section)
        }
        for name in order {
            nodes += 1
            if let parts = byName[name] { result.sections.append(resolve(parts, depth: depth + 1)) }
        }
        return result
    }

    /// Appends a section and, after it, all that it refers to.
    private mutating func expand(
        _ section: SettingsSection, into sources: inout [SettingsSection], path: inout [String]
    ) {
        sources.append(section)
        for reference in section.references {
            guard let target = find(reference) else { continue }
            if path.contains(reference.text) || target == section {
                report("section '\(section.name.text)' refers to itself", at: reference.position)
                continue
            }
            guard sources.count <= 1000 else {
                report("too many references", at: reference.position)
                return
            }
            path.append(reference.text)
            expand(target, into: &sources, path: &path)
            path.removeLast()
        }
    }

    private mutating func find(_ reference: SpannedText) -> SettingsSection? {
        var section = root
        for part in reference.text.split(separator: ".", omittingEmptySubsequences: false) {
            guard let next = section.section(String(part)) else {
                let place = section.name.text.isEmpty ? "" : " in '\(section.name.text)'"
                report(
                    "reference to unknown section '\(reference.text)': there is no '\(part)'\(place)",
                    at: reference.position,
                    suggestion: NearestName.find(String(part), in: section.sections.map(\.name.text)))
                return nil
            }
            section = next
        }
        if let first = reference.text.split(separator: ".").first { templates.insert(String(first)) }
        return section
    }

    private mutating func report(_ message: String, at position: SourcePosition, suggestion: String? = nil) {
        // A section that several others refer to is expanded several times; its faults are told once.
        if reported.insert(position).inserted {
            diagnostics.append(Diagnostic(message, at: position, suggestion: suggestion))
        }
    }
}
