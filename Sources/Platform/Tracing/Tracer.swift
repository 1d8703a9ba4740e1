public import Metrics
import Synchronization
public import Time

/// Gathers the spans of a process, until somebody takes them. It never waits, and holds a bounded number: more are dropped and counted.
public final class Tracer: Sendable {
  private let state: Mutex<(spans: [Span], waiting: (@Sendable () -> Void)?)>
  private let ratio: Double
  private let isOn: Bool
  private let recorded, dropped: Counter

  /// How many wait at most.
  public static let limit = 8_192
  /// So many, and whoever waits for them is told.
  private static let enough = 256

  /// - Parameters:
  ///   - ratio: How many of the requests that are in no trace begin one, from 0 to 1.
  ///   - isOn: Somebody takes spans: otherwise none are made.
  public init(ratio: Double, isOn: Bool, metrics: MetricsRegistry) {
    (self.ratio, self.isOn) = (ratio, isOn)
    state = Mutex(([], nil))
    recorded = metrics.counter("annals_trace_spans_total", help: "Spans of traces that were recorded.")
    dropped = metrics.counter(
      "annals_trace_spans_dropped_total", help: "Spans that were dropped: too many at once, or nobody took them.")
  }

  /// Where a request is in a trace.
  ///
  /// - Parameter header: `traceparent`, as it was sent.
  /// - Returns: The request's own span, and the one that it is in; nil: it is not recorded.
  public func request(_ header: String?) -> (context: TraceContext, parent: UInt64?)? {
    guard isOn else { return nil }
    if let outer = header.flatMap({ TraceContext(traceparent: $0) }) {
      return outer.isSampled ? (outer.child(), outer.span) : nil
    }
    guard ratio > 0, ratio >= 1 || Double.random(in: 0..<1) < ratio else { return nil }
    return (.new(), nil)
  }

  /// The place of what was done for a trace.
  ///
  /// - Returns: nil: it is not recorded.
  public func place(_ traceparent: some StringProtocol) -> TraceContext? {
    guard isOn, let context = TraceContext(traceparent: traceparent), context.isSampled else { return nil }
    return context
  }

  public func record(_ span: Span) {
    guard isOn, span.context.isSampled else { return }
    recorded.increment()
    let wake = state.withLock { state -> (@Sendable () -> Void)? in
      guard state.spans.count < Self.limit else {
        dropped.increment()
        return nil
      }
      state.spans.append(span)
      guard state.spans.count == Self.enough else { return nil }
      return state.waiting
    }
    wake?()
  }

  /// Records how long something took, and returns or throws what it did.
  ///
  /// - Parameter span: From what came of it, and when it began.
  public func measure<Value, Failure: Error>(
    _ body: () async throws(Failure) -> Value, span: (Result<Value, Failure>, _ begun: Timestamp) -> Span
  ) async throws(Failure) -> Value {
    let begun = Timestamp.now()
    let result: Result<Value, Failure>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    record(span(result, begun))
    return try result.get()
  }

  public func drop(_ count: Int) { dropped.increment(by: count) }

  /// The spans that were recorded since.
  public func take() -> [Span] {
    state.withLock { state in
      defer { state.spans = [] }
      return state.spans
    }
  }

  /// - Parameter wake: Called from any thread when there are many.
  public func whenMany(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.waiting = wake } }
}
