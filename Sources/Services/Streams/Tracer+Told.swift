import Time
import Tracing

extension Tracer {
  /// Records that somebody who waits for what happens was told of it.
  ///
  /// - Parameters:
  ///   - way: `socket`, `event stream`.
  ///   - what: Of what he is told.
  ///   - at: When it happened. Who reads what is old is no part of its trace any more.
  func told(_ trace: TraceContext, by way: String, _ what: String, _ caller: Caller, at: Timestamp) {
    guard Timestamp.now().microseconds - at.microseconds < 60_000_000 else { return }
    record(
      Span(
        "send \(way)", .producer, trace.child(), parent: trace.span, begun: .now(),
        [("annals.told", .text(what)), ("enduser.id", .text(caller.owner))]))
  }
}
