import Elasticsearch
import EventStore
import HTTPServer
import Postgres
import Redis
import S3

// How the errors of the store and of the servers behind it are answered.

extension AppendError: ProblemConvertible {
  var problem: Problem {
    switch self {
    case .versionConflict(_, _, let actual):
      Problem(
        409, "Conflict", detail: "another writer was faster; the version is \(actual) now: read it again",
        headers: [("ETag", "\"\(actual)\"")])
    case .lostRace: Problem(409, "Conflict", detail: "another writer was faster: read it again")
    case .archived: Problem(409, "Conflict", detail: "it is archived and takes no more changes")
    case .commandRunning(let key):
      Problem(
        409, "Conflict", detail: "a request with the key “\(key)” is running: wait for its answer",
        field: "Idempotency-Key", headers: [("Retry-After", "1")])
    case .commandDiffers(let key):
      Problem(
        422, "Unprocessable content", detail: "the key “\(key)” was used for another request: use a new key",
        field: "Idempotency-Key")
    case .foreignServer: .unavailable("Postgres", remedy: "its database is not the log's: run annals adopt")
    case .eventCount, .sameStreamTwice, .personalData: .internalError
    case .database(let error): error.problem
    }
  }
}

extension UnexpectedVersion: ProblemConvertible {
  var problem: Problem {
    Problem(
      412, "Precondition failed", detail: "the version is \(actual), not \(expected): read it again and decide again",
      field: "If-Match", headers: [("ETag", "\"\(actual)\"")])
  }
}

extension ReadError: ProblemConvertible {
  var problem: Problem { if case .database(let error) = self { error.problem } else { .internalError } }
}

extension PostgresError: ProblemConvertible {
  var problem: Problem {
    if case .cancelled = self { return .cancelled }
    return isRetriable ? .unavailable("Postgres") : .internalError
  }
}

extension RedisError: ProblemConvertible {
  var problem: Problem { .unavailable("Redis") }
}

extension ElasticsearchError: ProblemConvertible {
  var problem: Problem {
    if case .refused(_, 400, _) = self {
      return Problem(400, "Bad request", detail: "the search cannot be carried out: use fewer words, or other values")
    }
    // 404: the projection has not made the index yet. Another refusal does not go away with time.
    if case .refused(_, let status, _) = self, !isRetriable, status != 404 { return .internalError }
    return .unavailable("Elasticsearch", remedy: "documents are still readable by their id")
  }
}

extension S3Error: ProblemConvertible {
  var problem: Problem {
    if case .cancelled = self { return .cancelled }
    return isRetriable ? .unavailable("The object store") : .internalError
  }
}
