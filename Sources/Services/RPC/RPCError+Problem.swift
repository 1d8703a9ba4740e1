import EventStore
import Events
import GRPC
import HTTPServer

extension RPCError {
  /// The status of an error, as docs/grpc.md has it in a table.
  init(describing error: any Error) {
    switch error {
    case let error as UnexpectedVersion:
      self.init(
        .aborted, error.problem.detail,
        details: [
          .info(
            reason: "VERSION_CONFLICT",
            metadata: ["expected": "\(error.expected)", "actual": "\(error.actual)"])
        ])
    case let error as AppendError:
      // What is archived stays so: reading it again changes nothing.
      if case .archived = error {
        self.init(error.problem)
      } else {
        self.init(error.problem, conflict: .aborted, "CONFLICT")
      }
    case let refusal as any Refusal:
      let problem = Problem(refusal)
      switch refusal.kind {
      case .conflict:
        self.init(
          .failedPrecondition, problem.detail,
          details: [.precondition(type: "STATE", subject: problem.field ?? "", description: problem.detail)])
      case .gone: self.init(.notFound, problem.detail, details: [.info(reason: "DELETED")])
      case .notFound, .invalid: self.init(problem)
      }
    default: self.init(ErrorResponses.problem(error))
    }
  }

  /// - Parameters:
  ///   - conflict: The code of a problem with status 409.
  ///   - reason: Of such a conflict.
  private init(_ problem: Problem, conflict: RPCCode = .failedPrecondition, _ reason: String? = nil) {
    let code: RPCCode =
      switch problem.status {
      case 400, 405, 411, 413, 414, 415, 416, 422, 426, 428, 431: .invalidArgument
      case 401: .unauthenticated
      case 403: .permissionDenied
      case 404, 410: .notFound
      case 408, 504: .deadlineExceeded
      case 409: conflict
      case 412: .aborted
      case 429: .resourceExhausted
      case 502, 503: .unavailable
      default: .internal
      }
    var details: [Detail] = []
    if let field = problem.field, code == .invalidArgument { details.append(.field(field, problem.detail)) }
    if problem.status == 409, let reason { details.append(.info(reason: reason)) }
    if let seconds = problem.headers.first(where: { $0.name == "Retry-After" }).flatMap({ Int64($0.value) }) {
      details.append(.retry(after: .seconds(seconds)))
    }
    self.init(code, problem.detail, details: details)
  }
}
