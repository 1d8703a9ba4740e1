import HTTPServer
import Tracing

/// Makes a request a part of its trace, or begins one: what it does is recorded under its span (OpenTelemetry's conventions for HTTP).
struct RequestTraces: Middleware {
  private let tracer: Tracer
  private let method: String
  private let route: String

  /// - Returns: nil for routes that ask nobody who he is: strangers do not decide what is traced.
  init?(_ tracer: Tracer, _ route: Route) {
    if route.right == .anyone { return nil }
    (self.tracer, method, self.route) = (tracer, route.method.rawValue, route.path)
  }

  func handle(_ request: Request, next: Handler) async throws -> Response {
    guard let (context, parent) = tracer.request(request.headers["traceparent"]) else { return try await next(request) }
    return try await tracer.measure {
      try await TraceContext.$current.withValue(context) { try await next(request) }
    } span: { result, begun in
      let status =
        switch result {
        case .success(let response): response.status
        case .failure(let error): ErrorResponses.problem(error).status
        }
      return Span(
        "\(method) \(route)", .server, context, parent: parent, begun: begun,
        [
          ("http.request.method", .text(method)), ("http.route", .text(route)),
          ("http.response.status_code", .number(Int64(status))), ("annals.request_id", .text(request.id)),
        ], failure: status >= 500 ? "\(status)" : nil)
    }
  }
}
