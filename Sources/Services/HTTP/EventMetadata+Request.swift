import Events
import HTTPServer
import Tracing

extension Request {
  /// The metadata of the events that this request causes.
  ///
  /// - Parameter named: The actor that the body names. A token, or `X-Actor`, goes before it.
  func metadata(named: String? = nil) -> EventMetadata {
    EventMetadata(
      actor: caller.actor ?? named ?? "anonymous",
      correlationID: headers["X-Correlation-ID"].map { String(decoding: $0.utf8.prefix(197), as: UTF8.self) },
      traceparent: TraceContext.current?.traceparent
        ?? headers["traceparent"].flatMap { TraceContext(traceparent: $0)?.traceparent })
  }
}
