/// The reason why a text is not the expected JSON, and the place.
public struct JSONError: Error, Equatable, Sendable {
  public enum Reason: Equatable, Sendable {
    case endOfInput
    case unexpected(found: String)
    case trailing
    case badNumber
    case badEscape
    case loneSurrogate
    case controlCharacter
    case invalidUTF8
    case tooDeep(limit: Int)
    case tooManyValues(limit: Int)
    case duplicateName(String)
    case wrongType(expected: String, found: String)
    case outOfRange(String)
    case missing(String)
    case unknown(String, nearest: String?)
    /// The type is right but the value is not; `remedy` describes a valid value.
    case invalid(String, remedy: String)
  }

  public enum Step: Equatable, Sendable { case name(String), index(Int) }

  public let reason: Reason
  /// Offset from the start of the text, in bytes; nil if the value was read from a tree.
  public let offset: Int?
  /// Steps from the outermost value to the one concerned.
  public var path: [Step]

  public init(_ reason: Reason, offset: Int? = nil, path: [Step] = []) {
    (self.reason, self.offset, self.path) = (reason, offset, path)
  }

  func inside(_ step: Step) -> JSONError { JSONError(reason, offset: offset, path: [step] + path) }

  /// The JSON Pointer (RFC 6901) of the value concerned. Of a long name only the beginning: a client chooses its length.
  public var pointer: String {
    path.map { step in
      switch step {
      case .name(let name):
        "/"
          + Self.cut(name).split(separator: "~", omittingEmptySubsequences: false).joined(separator: "~0")
          .split(separator: "/", omittingEmptySubsequences: false).joined(separator: "~1")
      case .index(let index): "/\(index)"
      }
    }.joined()
  }
}

extension JSONError: CustomStringConvertible {
  public var description: String {
    let place = (pointer.isEmpty ? "" : " at \(Self.cut(pointer))") + (offset.map { " (byte \($0))" } ?? "")
    return "\(explanation)\(place)"
  }

  /// The reason in words, without the place.
  public var explanation: String {
    switch reason {
    case .endOfInput: "the JSON text ends too early"
    case .unexpected(let found): "unexpected \(found)"
    case .trailing: "unexpected text after the end of the JSON"
    case .badNumber: "a number is malformed"
    case .badEscape: "a string has an unknown escape"
    case .loneSurrogate: "a string has half of a surrogate pair"
    case .controlCharacter: "a string has a raw control character: escape it"
    case .invalidUTF8: "a string is not UTF-8"
    case .tooDeep(let limit): "nesting is deeper than \(limit) levels"
    case .tooManyValues(let limit): "there are more than \(limit) values"
    case .duplicateName(let name): "“\(Self.cut(name))” is given twice"
    case .wrongType(let expected, let found): "expected \(expected), found \(found)"
    case .outOfRange(let literal): "\(Self.cut(literal)) is out of range"
    case .missing(let name): "“\(name)” is missing"
    case .unknown(let name, let nearest):
      "“\(Self.cut(name))” is unknown" + (nearest.map { "; did you mean “\($0)”?" } ?? "")
    case .invalid(let value, let remedy): "“\(Self.cut(value))” is not valid: \(remedy)"
    }
  }

  /// The first 80 bytes: a client chooses how long a name or value is.
  private static func cut(_ text: String) -> String {
    text.utf8.count <= 80 ? text : String(decoding: text.utf8.prefix(80), as: UTF8.self) + "…"
  }
}
