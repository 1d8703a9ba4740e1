public import JSON
import Identifiers
import Time

/// The kinds of values that a document's own fields may have.
public enum FieldKind: String, CaseIterable, Sendable {
  case text, number, money, date, boolean, select, link

  /// How long a text and a link may be, in bytes of UTF-8.
  public static let maximumText = 2_000
  /// How long a number may be, in digits and signs, and how large. Readers of JSON have limits too.
  private static let (maximumDigits, largestNumber) = (100, 1e100)
  /// How many options an error names.
  private static let namedOptions = 10

  /// The form in which a value is kept.
  ///
  /// - Parameter options: Those of `select`.
  /// - Returns: nil if the value is not of this kind.
  public func checked(_ value: JSONValue, options: [String]) -> JSONValue? {
    let isGood: Bool
    switch (self, value) {
    case (.text, .string(let text)): isGood = text.utf8.count <= Self.maximumText && !text.utf8.contains(0)
    case (.number, .integer), (.boolean, .bool): isGood = true
    case (.number, .number(let literal)):
      isGood = literal.utf8.count <= Self.maximumDigits && value.double.map { abs($0) <= Self.largestNumber } == true
    case (.select, .string(let text)): isGood = options.contains { $0.utf8.elementsEqual(text.utf8) }
    case (.date, .string(let text)):
      // There was no year 0: not every reader takes it.
      isGood = text.utf8.count == 10 && !text.hasPrefix("0000") && Time.Timestamp("\(text)T00:00:00Z") != nil
    case (.link, .string(let text)): isGood = Self.isLink(text)
    case (.money, .object(let money)):
      guard money.members.count == 2, let currency = money["currency"]?.string, Self.isCurrency(currency),
        let amount = money["amount"].flatMap(Self.amount)
      else { return .none }
      return ["amount": .string(amount), "currency": .string(currency)]
    default: isGood = false
    }
    // Not nil: that could be a value too, null.
    return isGood ? value : .none
  }

  /// What a value of the kind looks like, for errors.
  func form(options: [String]) -> String {
    switch self {
    case .text: "a text of at most \(Self.maximumText) bytes"
    case .number: "a number of at most \(Self.maximumDigits) digits"
    case .money:
      #"an amount and a currency: {"amount": "120.50", "currency": "EUR"}, the amount a text of at most 15 digits and 4 behind the point"#
    case .date: "a day such as 2026-11-27"
    case .boolean: "true or false"
    case .select:
      "one of \(options.prefix(Self.namedOptions).joined(separator: ", "))"
        + (options.count > Self.namedOptions ? " and \(options.count - Self.namedOptions) more" : "")
    case .link: "the id of a document, or an address that begins with https:// or http://"
    }
  }

  private static func isLink(_ text: String) -> Bool {
    if UUID(text) != nil { return true }
    return (text.hasPrefix("https://") || text.hasPrefix("http://")) && text.utf8.count <= maximumText
      && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
  }

  /// A code of ISO 4217, by its form.
  private static func isCurrency(_ text: String) -> Bool {
    text.utf8.count == 3 && text.utf8.allSatisfy { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
  }

  /// An exact decimal number: a text, or a whole number. Zeros before it are left out, those behind the point stay.
  private static func amount(_ value: JSONValue) -> String? {
    let text: String
    switch value {
    case .string(let amount): text = amount
    case .integer(let amount): text = "\(amount)"
    default: return nil
    }
    let isNegative = text.hasPrefix("-")
    let parts = text.dropFirst(isNegative ? 1 : 0).split(separator: ".", omittingEmptySubsequences: false)
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { digits.contains($0) } }) else {
      return nil
    }
    let whole = parts[0].drop { $0 == "0" }
    guard whole.count <= 15, parts.count == 1 || parts[1].count <= 4 else { return nil }
    let isZero = whole.isEmpty && (parts.count == 1 || parts[1].allSatisfy { $0 == "0" })
    return (isNegative && !isZero ? "-" : "") + (whole.isEmpty ? "0" : String(whole))
      + (parts.count == 2 ? ".\(parts[1])" : "")
  }
}

/// A field that documents of a type may have.
public struct FieldDefinition: Equatable, Sendable {
  public let name: String
  /// How it is called where people see it; nil: by its name.
  public let title: String?
  public let kind: FieldKind
  public let isRequired: Bool
  /// The values that `select` may have.
  public let options: [String]

  public init(name: String, title: String?, kind: FieldKind, isRequired: Bool, options: [String]) {
    (self.name, self.title, self.kind) = (name, title, kind)
    (self.isRequired, self.options) = (isRequired, options)
  }
}

extension FieldDefinition {
  /// By bytes: texts that are canonically equivalent are different ones.
  public static func == (left: Self, right: Self) -> Bool { left.json == right.json }

  private var json: [UInt8] {
    var writer = JSONWriter()
    write(&writer)
    return writer.bytes
  }
}

extension FieldDefinition: JSONReadable {
  public static let members = ["name", "title", "kind", "required", "options"]

  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    let kind = try fields.required("kind", as: String.self)
    guard let known = FieldKind(rawValue: kind) else {
      throw JSONError(
        .invalid(
          String(kind.prefix(80)), remedy: "one of \(FieldKind.allCases.map(\.rawValue).joined(separator: ", "))"))
    }
    var options: [String] = []
    for option in try fields.optional("options", as: JSONValue.self)?.array ?? [] {
      options.append(try String(json: option))
    }
    self.init(
      name: try fields.required("name"), title: try fields.optional("title"), kind: known,
      isRequired: try fields.optional("required") ?? false, options: options)
  }

  /// The member with the fields of a type.
  static func write(_ fields: [FieldDefinition], _ writer: inout JSONWriter) {
    writer.array("fields", of: fields) { $1.write(&$0) }
  }

  public func write(_ writer: inout JSONWriter) {
    writer.object {
      $0.member("name", name)
      if let title { $0.member("title", title) }
      $0.member("kind", kind.rawValue)
      if isRequired { $0.member("required", true) }
      if !options.isEmpty { $0.member("options", options) }
    }
  }
}
