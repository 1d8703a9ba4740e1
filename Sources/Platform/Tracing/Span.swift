public import Time

/// Something that was done for a trace, and how long it took (OpenTelemetry, “Span”).
public struct Span: Sendable {
  /// With OpenTelemetry's numbers.
  public enum Kind: Int, Sendable { case `internal` = 1, server, client, producer, consumer }

  public enum Value: Sendable, Equatable { case text(String), number(Int64), flag(Bool) }

  public let name: String
  public let kind: Kind
  public let context: TraceContext
  /// The span within which it was done; nil: the first one.
  public let parent: UInt64?
  public let begun: Timestamp
  public let ended: Timestamp
  public let attributes: [(name: String, value: Value)]
  /// Why it failed; nil: it did not.
  public let failure: String?

  public init(
    _ name: String, _ kind: Kind, _ context: TraceContext, parent: UInt64?, begun: Timestamp, ended: Timestamp = .now(),
    _ attributes: [(name: String, value: Value)] = [], failure: String? = nil
  ) {
    (self.name, self.kind, self.context, self.parent) = (name, kind, context, parent)
    (self.begun, self.ended, self.attributes, self.failure) = (begun, ended, attributes, failure)
  }
}

extension Span.Value: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
  public init(stringLiteral text: String) { self = .text(text) }
  public init(integerLiteral number: Int64) { self = .number(number) }
}
