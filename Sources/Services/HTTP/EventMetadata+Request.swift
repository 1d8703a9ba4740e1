import Events
import HTTPServer

extension Request {
  /// The metadata of the events that this request causes.
  ///
  /// - Parameter named: The actor that the body names. A token, or `X-Actor`, goes before it.
  func metadata(named: String? = nil) -> EventMetadata {
    EventMetadata(
      actor: actor ?? named ?? "anonymous",
      correlationID: headers["X-Correlation-ID"].map { String($0.prefix(200)) },
      traceparent: headers["traceparent"].flatMap { $0.utf8.count == 55 ? $0 : nil })
  }
}
