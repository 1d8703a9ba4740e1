import Domain
import HTTPServer
import JSON

/// A condition on a field of a type, as the query `where` has it.
struct FieldCondition: Equatable, Sendable {
  static let maximumText = 1_000
  static let maximum = 20
  static let meaning =
    "Conditions on fields of the type, joined by semicolons; all must hold: `total>=100 EUR;paid=false;due<2026-12-31`. The signs are = != < <= > >=; a name alone asks that there is a value, !name that there is none; a text in quotation marks may have any character."

  private enum Sign: String, CaseIterable {
    // The longer ones first: they begin like the shorter ones.
    case notEqual = "!="
    case atMost = "<="
    case atLeast = ">="
    case equal = "="
    case less = "<"
    case greater = ">"

    var range: String? {
      switch self {
      case .atMost: "lte"
      case .atLeast: "gte"
      case .less: "lt"
      case .greater: "gt"
      case .equal, .notEqual: nil
      }
    }
  }

  let name: String
  /// What the value has to be, besides being there.
  private let conditions: [JSONValue]
  private let isNegated: Bool

  var clause: JSONValue {
    let nested: JSONValue = [
      "nested": [
        "path": "values",
        "query": ["bool": ["filter": .array([["term": ["values.name": .string(name)]]] + conditions)]],
      ]
    ]
    return isNegated ? ["bool": ["must_not": [nested]]] : nested
  }

  /// - Throws: A problem that names the condition and what is possible.
  static func read(_ text: String, of type: DocumentType) throws(Problem) -> [FieldCondition] {
    guard text.utf8.count <= maximumText else { throw problem("conditions have at most \(maximumText) bytes") }
    let parts = try split(text)
    guard parts.count <= maximum else { throw problem("at most \(maximum) conditions are possible") }
    var conditions: [FieldCondition] = []
    for part in parts { conditions.append(try condition(part, type)) }
    return conditions
  }

  private static func problem(_ detail: String) -> Problem {
    Problem(400, "Malformed query", detail: detail, field: "where")
  }

  /// The conditions; a semicolon within quotation marks is none between two.
  private static func split(_ text: String) throws(Problem) -> [Substring] {
    var (parts, start, quote) = ([Substring](), text.startIndex, String.Index?.none)
    var place = text.startIndex
    while place < text.endIndex {
      switch text[place] {
      case "\"": quote = quote == nil ? place : nil
      case ";" where quote == nil:
        parts.append(text[start..<place])
        start = text.index(after: place)
      default: break
      }
      place = text.index(after: place)
    }
    if let quote {
      let number = text.distance(from: text.startIndex, to: quote) + 1
      throw problem("the quotation mark at character \(number) has no second one")
    }
    parts.append(text[start...])
    return parts.filter { $0.contains { $0 != " " } }
  }

  private static func condition(_ part: Substring, _ type: DocumentType) throws(Problem) -> FieldCondition {
    let text = String(part.trimmed)
    let isMissing = text.hasPrefix("!") && !text.hasPrefix("!=")
    let bare = isMissing ? text.dropFirst() : text[...]
    let name = String(bare.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") })
    guard let kind = type.kinds[name] else {
      throw problem(
        "“\(part.prefix(80))”: documents of the type \(type.name) have no field “\(name)”; they have \(type.kinds.keys.sorted().joined(separator: ", "))"
      )
    }
    let rest = bare.dropFirst(name.count).trimmed
    if rest.isEmpty { return FieldCondition(name: name, conditions: [], isNegated: isMissing) }
    guard !isMissing, let sign = Sign.allCases.first(where: { rest.hasPrefix($0.rawValue) }) else {
      throw problem("“\(part.prefix(80))”: a name, one of = != < <= > >= and a value are expected")
    }
    var value = String(rest.dropFirst(sign.rawValue.count).trimmed)
    if value.utf8.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") {
      value = String(value.dropFirst().dropLast())
    }
    guard let conditions = conditions(kind, sign, value) else {
      throw problem("“\(part.prefix(80))”: \(name) is of the kind \(kind.rawValue): \(remedy(kind))")
    }
    return FieldCondition(name: name, conditions: conditions, isNegated: sign == .notEqual)
  }

  private static func conditions(_ kind: FieldKind, _ sign: Sign, _ value: String) -> [JSONValue]? {
    func compared(_ field: String, _ value: JSONValue) -> JSONValue {
      if let range = sign.range {
        return [
          "range": .object(
            JSONObject([.init(name: field, value: .object(JSONObject([.init(name: range, value: value)])))]))
        ]
      }
      return ["term": .object(JSONObject([.init(name: field, value: value)]))]
    }
    func number(_ text: some StringProtocol) -> JSONValue? {
      let allowed = text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x2E }
      guard allowed, text.utf8.count <= 30, let number = Double(String(text)), number.isFinite else { return nil }
      return .number(literal: "\(number)")
    }
    switch kind {
    case .text, .select, .link:
      return sign.range == nil && !value.isEmpty ? [compared("values.keyword", .string(value))] : nil
    case .boolean:
      return sign.range == nil ? Bool(value).map { [compared("values.flag", .bool($0))] } : nil
    case .date:
      return kind.checked(.string(value), options: []).map { [compared("values.date", $0)] }
    case .number: return number(value).map { [compared("values.number", $0)] }
    case .money:
      let parts = value.split(separator: " ")
      guard (1...2).contains(parts.count), let amount = number(parts[0]) else { return nil }
      let amounts = [compared("values.number", amount)]
      return parts.count == 1 ? amounts : amounts + [["term": ["values.currency": .string(parts[1].uppercased())]]]
    }
  }

  private static func remedy(_ kind: FieldKind) -> String {
    switch kind {
    case .text, .select, .link: "= or != and a text"
    case .boolean: "= or != and true or false"
    case .date: "a sign and a day such as 2026-11-27"
    case .number: "a sign and a number"
    case .money: "a sign and an amount, with or without a currency: >=100 EUR"
    }
  }
}

extension StringProtocol {
  /// Without the spaces around it.
  fileprivate var trimmed: Substring {
    let start = Substring(self).drop { $0 == " " }
    var end = start.endIndex
    while end > start.startIndex, start[start.index(before: end)] == " " { end = start.index(before: end) }
    return start[..<end]
  }
}
