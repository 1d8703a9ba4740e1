import Identifiers
import JSON
public import Postgres
import Schema
import Time
public import Tracing

/// Spans in Postgres: what was done for traced requests, kept for a time.
public struct KeptSpans: Sendable {
  /// A span, and the process that has done it.
  public struct Entry: Sendable {
    public let span: Span
    public let process: String
  }

  private let pool: PostgresPool

  private static let keep = Query("keep_spans", Schema.keepSpans)
  private static let ofTrace = Query("spans_of_trace", Schema.spansOfTrace)
  private static let forget = Query("forget_spans", Schema.forgetSpans)

  /// Rows that are deleted at a time.
  private static let page: Int64 = 5_000

  public init(_ pool: PostgresPool) { self.pool = pool }

  public func keep(_ spans: [Span], of process: String) async throws(PostgresError) {
    guard !spans.isEmpty else { return }
    _ = try await pool.query(
      Self.keep,
      [
        .text(process), .uuids(spans.map { UUID(high: $0.context.high, low: $0.context.low) }),
        .bigints(spans.map { Int64(bitPattern: $0.context.span) }),
        .bigints(spans.map { $0.parent.map { Int64(bitPattern: $0) } }), .texts(spans.map(\.name)),
        .integers(spans.map { Int32($0.kind.rawValue) }), .bigints(spans.map(\.begun.microseconds)),
        .bigints(spans.map(\.ended.microseconds)), .texts(spans.map(\.failure)),
        .jsons(spans.map { Self.json($0.attributes) }),
      ])
  }

  private static func json(_ attributes: [(name: String, value: Span.Value)]) -> [UInt8] {
    var writer = JSONWriter()
    writer.object {
      for attribute in attributes {
        switch attribute.value {
        // Postgres takes no U+0000.
        case .text(let text): $0.member(attribute.name, text.filter { $0 != "\0" })
        case .number(let number): $0.member(attribute.name, number)
        case .flag(let flag): $0.member(attribute.name, flag)
        }
      }
    }
    return writer.bytes
  }

  /// The spans of a trace, in the order in which they began.
  public func spans(of trace: TraceContext, limit: Int) async throws -> [Entry] {
    try await pool.read(
      Self.ofTrace, [.uuid(UUID(high: trace.high, low: trace.low)), .bigint(Int64(limit))]
    ).map { row in
      let span = UInt64(bitPattern: try row.get(0, as: Int64.self))
      let parent = try row.optional(1, as: Int64.self).map { UInt64(bitPattern: $0) }
      let context = TraceContext(high: trace.high, low: trace.low, span: span, isSampled: true)
      let kind = Span.Kind(rawValue: try row.get(3, as: Int.self)) ?? .internal
      let attributes = try Self.attributes(JSONValue(parsing: row.get(8, as: JSONText.self).bytes))
      return Entry(
        span: Span(
          try row.get(2), kind, context, parent: parent, begun: try row.get(5), ended: try row.get(6), attributes,
          failure: try row.optional(7, as: String.self)), process: try row.get(4))
    }
  }

  private static func attributes(_ json: JSONValue) -> [(name: String, value: Span.Value)] {
    (json.object?.members ?? []).map { member in
      if let number = member.value.integer { return (member.name, .number(number)) }
      if case .bool(let flag) = member.value { return (member.name, .flag(flag)) }
      return (member.name, .text(member.value.string ?? ""))
    }
  }

  /// - Returns: True if there may be more.
  public func forget(olderThan age: Duration) async throws(PostgresError) -> Bool {
    try await pool.query(Self.forget, [.bigint(age.components.seconds), .bigint(Self.page)]).affected == Self.page
  }
}
