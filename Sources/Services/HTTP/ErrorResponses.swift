import Events
public import HTTPServer
public import Logging
import Tracing

/// Turns the errors of handlers into answers. A server's own words go to the log, never to the client.
public struct ErrorResponses: Middleware {
  private let logger: Logger

  public init(logger: Logger) { self.logger = logger.labelled("http") }

  public func handle(_ request: Request, next: Handler) async throws -> Response {
    do { return try await next(request) } catch {
      let problem = Self.problem(error)
      if problem.status >= 500 {
        logger.warning(
          "Request failed",
          metadata: [
            "method": request.method.rawValue, "path": String(request.target.prefix { $0 != "?" }),
            "status": "\(problem.status)", "request_id": request.id,
            .trace: request.headers["traceparent"].flatMap { TraceContext(traceparent: $0)?.trace } ?? "",
            .error: "\(error)",
          ])
      }
      return problem.response
    }
  }

  static func problem(_ error: any Error) -> Problem {
    switch error {
    case let problem as Problem: problem
    case let error as any ProblemConvertible: error.problem
    case let refusal as any Refusal: Problem(refusal)
    case is CancellationError: .cancelled
    // Nobody receives it, and it is no failure of the server.
    case let gone as ClientGone: Problem(400, "Client closed", detail: "\(gone)")
    default: .internalError
    }
  }
}

/// An error that says itself how it is answered.
protocol ProblemConvertible: Error {
  var problem: Problem { get }
}

extension Problem {
  static let internalError = Problem(500, "Internal error", detail: "the server's log says more")
  static let cancelled = Problem(503, "Cancelled", detail: "the request took too long, or the server is stopping")

  static func unavailable(_ name: String, remedy: String = "try again") -> Problem {
    Problem(
      503, "Dependency unavailable", detail: "\(name) does not answer; \(remedy)", headers: [("Retry-After", "2")])
  }

  init(_ refusal: any Refusal) {
    let (status, title) =
      switch refusal.kind {
      case .notFound: (404, "Not found")
      case .gone: (410, "Gone")
      case .conflict: (409, "Conflict")
      case .invalid: (422, "Invalid value")
      }
    self.init(status, title, detail: refusal.description, field: refusal.field)
  }
}
