/// The rule that a command broke. Its kind decides how it is answered, so a new aggregate's refusals need no change
/// elsewhere.
public protocol Refusal: Error, CustomStringConvertible {
  var kind: RefusalKind { get }
  /// The field at fault, as a JSON Pointer; nil if there is none.
  var field: String? { get }
}

extension Refusal {
  public var field: String? { nil }
}

/// How a refusal is answered; the HTTP status is in parentheses.
public enum RefusalKind: Sendable {
  /// The aggregate does not exist (404).
  case notFound
  /// The aggregate is deleted (410).
  case gone
  /// The command does not fit the present state (409).
  case conflict
  /// A value is not acceptable, whatever the state (422).
  case invalid
}
