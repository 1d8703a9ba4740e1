/// A file of `name=value` lines as Java reads it (java.util.Properties): comments, escapes, continued lines.
struct Properties: Equatable {
  struct Entry: Equatable {
    let name: String
    let value: String
    let line: Int
  }

  let entries: [Entry]

  init(parsing text: String) {
    var entries: [Entry] = []
    var pending = ""
    var first = 0
    for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      var line = raw.drop { $0 == " " || $0 == "\t" || $0 == "\u{C}" }
      if line.last == "\r" { line = line.dropLast() }
      if pending.isEmpty {
        guard let start = line.first, start != "#", start != "!" else { continue }
        first = index + 1
      }
      // An odd number of backslashes at the end joins the next line.
      if line.reversed().prefix(while: { $0 == "\\" }).count % 2 == 1 {
        pending += line.dropLast()
        continue
      }
      entries.append(Self.entry(pending + line, line: first))
      pending = ""
    }
    if !pending.isEmpty { entries.append(Self.entry(pending, line: first)) }
    self.entries = entries
  }

  private static func entry(_ line: String, line number: Int) -> Entry {
    var name = ""
    var rest = line[...]
    while let character = rest.first, !" \t=:".contains(character) {
      rest.removeFirst()
      name.append(character == "\\" ? escaped(&rest) : character)
    }
    rest = rest.drop { $0 == " " || $0 == "\t" }
    if rest.first == "=" || rest.first == ":" { rest = rest.dropFirst().drop { $0 == " " || $0 == "\t" } }
    var value = ""
    while let character = rest.popFirst() { value.append(character == "\\" ? escaped(&rest) : character) }
    return Entry(name: name, value: value, line: number)
  }

  private static func escaped(_ rest: inout Substring) -> Character {
    switch rest.popFirst() {
    case "t": return "\t"
    case "n": return "\n"
    case "r": return "\r"
    case "f": return "\u{C}"
    case "u":
      let digits = rest.prefix(4)
      rest = rest.dropFirst(digits.count)
      return UInt32(digits, radix: 16).flatMap { Unicode.Scalar($0) }.map { Character($0) } ?? "\u{FFFD}"
    case let character?: return character
    case nil: return "\\"
    }
  }
}
