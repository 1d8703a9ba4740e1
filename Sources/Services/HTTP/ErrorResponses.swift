import Domain
import Elasticsearch
import EventStore
public import HTTPServer
public import Logging
import Postgres
import Redis
import S3

/// What clients see of errors. The server's own words go to the log, never to the client.
public struct ErrorResponses: Sendable {
  private let logger: Logger

  public init(logger: Logger) { self.logger = logger.labelled("http") }

  public func response(to error: any Error, _ request: Request) -> Response {
    let problem = problem(error)
    if problem.status >= 500 {
      logger.warning(
        "Request failed",
        metadata: [
          "method": request.method.rawValue, "path": String(request.target.prefix { $0 != "?" }),
          "status": "\(problem.status)", .error: "\(error)",
        ])
    }
    return problem.response
  }

  private func problem(_ error: any Error) -> Problem {
    switch error {
    case let problem as Problem: problem
    case let error as DocumentRefusal: problem(error)
    case let error as AppendError: problem(error)
    case let error as ReadError:
      if case .database(let error) = error { problem(error) } else { internalError }
    case let error as PostgresError: problem(error)
    case is RedisError: unavailable("Redis")
    case is ElasticsearchError: unavailable("Elasticsearch", remedy: "documents are still readable by their id")
    case let error as S3Error:
      if case .notFound = error {
        Problem(404, "Not found", detail: "the content is not in the object store")
      } else {
        unavailable("The object store")
      }
    case is CancellationError: Problem(503, "Cancelled", detail: "the request took too long or the server is stopping")
    default: internalError
    }
  }

  private func problem(_ error: DocumentRefusal) -> Problem {
    let (status, title, field): (Int, String, String?) =
      switch error {
      case .notFound: (404, "Not found", nil)
      case .deleted: (410, "Gone", nil)
      case .exists: (409, "Conflict", "/id")
      case .titleIsEmpty, .titleIsTooLong: (422, "Invalid title", "/title")
      case .noTransition: (409, "Conflict", "/status")
      }
    return Problem(status, title, detail: error.description, field: field)
  }

  private func problem(_ error: AppendError) -> Problem {
    switch error {
    case .versionConflict(_, _, let actual):
      Problem(
        409, "Conflict", detail: "somebody else changed the document, which is now at version \(actual): read it again",
        headers: [("ETag", "\"\(actual)\"")])
    case .eventCount: internalError
    case .database(let error): problem(error)
    }
  }

  private func problem(_ error: PostgresError) -> Problem {
    if case .cancelled = error {
      return Problem(503, "Cancelled", detail: "the request took too long or the server is stopping")
    }
    return error.isRetriable ? unavailable("Postgres") : internalError
  }

  private func unavailable(_ name: String, remedy: String = "try again") -> Problem {
    Problem(
      503, "Dependency unavailable", detail: "\(name) does not answer; \(remedy)", field: nil,
      headers: [("Retry-After", "2")])
  }

  private var internalError: Problem {
    Problem(500, "Internal error", detail: "the server's log says more")
  }
}
