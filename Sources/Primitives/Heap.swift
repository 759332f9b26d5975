/// A binary heap of what has its turn one after the other.
package struct Heap<Element: HeapElement> {
    package private(set) var elements: [Element] = []

    package init() {}

    package var first: Element? { elements.first }
    package var count: Int { elements.count }

    package mutating func insert(_ element: Element) {
        elements.append(element)
        var index = elements.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard elements[index].isBefore(elements[parent]) else { break }
            elements.swapAt(index, parent)
            index = parent
        }
    }

    @discardableResult
    package mutating func removeFirst() -> Element? {
        guard let first = elements.first else { return nil }
        let last = elements.removeLast()
        if !elements.isEmpty {
            elements[0] = last
            sink()
        }
        return first
    }

    /// Leaves those that `isKept` says.
    package mutating func filter(_ isKept: (Element) -> Bool) {
        elements = elements.filter(isKept).sorted { $0.isBefore($1) }
    }

    private mutating func sink() {
        var index = 0
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < elements.count && elements[child].isBefore(elements[smallest]) {
                smallest = child
            }
            if smallest == index { return }
            elements.swapAt(index, smallest)
            index = smallest
        }
    }
}

extension Heap: Sendable where Element: Sendable {}

package protocol HeapElement {
    /// Whether its turn is before the other's.
    func isBefore(_ other: Self) -> Bool
}
