/// Requests on a pipelined connection that wait for their results, oldest first.
struct Pipeline {
  enum Step {
    case prepare(String)
    case execute(String)
  }

  private struct Request {
    let number: Int
    let steps: [Step]
    let bytes: Int
    let since: ContinuousClock.Instant
    var continuation: CheckedContinuation<Result<[Rows], PostgresError>, Never>?
    var step = 0
    var rows: [Rows] = []
    var error: PostgresError?
  }

  private var requests: [Request] = []
  private var head = 0
  private(set) var nextNumber = 0
  /// Bytes of the parameters of all requests.
  private(set) var bytes = 0

  var count: Int { requests.count - head }
  var isEmpty: Bool { head == requests.count }
  var oldest: ContinuousClock.Instant? { isEmpty ? nil : requests[head].since }
  /// Since when the server has worked on the oldest request: it waited for the one before.
  var oldestIsRunSince: ContinuousClock.Instant? { oldest.map { max($0, lastEnd ?? $0) } }
  private var lastEnd: ContinuousClock.Instant?

  /// The name of the query whose result comes next.
  var currentQuery: String {
    guard !isEmpty, requests[head].step < requests[head].steps.count else { return "synchronization" }
    switch requests[head].steps[requests[head].step] {
    case .prepare(let name), .execute(let name): return name.isEmpty ? "a statement" : name
    }
  }

  mutating func append(
    _ steps: [Step], bytes: Int, _ continuation: CheckedContinuation<Result<[Rows], PostgresError>, Never>,
    at now: ContinuousClock.Instant
  ) {
    requests.append(Request(number: nextNumber, steps: steps, bytes: bytes, since: now, continuation: continuation))
    self.bytes += bytes
    nextNumber += 1
  }

  /// Fails a request with `cancelled`. Its results are dropped when they arrive.
  mutating func abandon(_ number: Int) {
    guard let index = requests[head...].firstIndex(where: { $0.number == number }) else { return }
    requests[index].continuation?.resume(returning: .failure(.cancelled))
    requests[index].continuation = nil
  }

  mutating func succeeded(_ rows: () -> Rows) {
    guard requests[head].step < requests[head].steps.count, requests[head].continuation != nil,
      case .execute = requests[head].steps[requests[head].step]
    else { return }
    requests[head].rows.append(rows())
  }

  /// Records the first error. If the step that failed was a prepare, returns the name of its statement.
  mutating func failed(_ error: PostgresError?) -> String? {
    if let error, requests[head].error == nil { requests[head].error = error }
    guard requests[head].step < requests[head].steps.count,
      case .prepare(let name) = requests[head].steps[requests[head].step]
    else { return nil }
    return name
  }

  mutating func stepEnded() { requests[head].step += 1 }

  /// Completes the oldest request: all its results have arrived.
  mutating func synchronized(at now: ContinuousClock.Instant) {
    lastEnd = now
    let request = requests[head]
    bytes -= request.bytes
    requests[head].continuation = nil
    requests[head].rows = []
    head += 1
    if head == requests.count {
      requests.removeAll(keepingCapacity: true)
      head = 0
    } else if head > 1_024 {
      requests.removeFirst(head)
      head = 0
    }
    request.continuation?.resume(returning: request.error.map { .failure($0) } ?? .success(request.rows))
  }

  mutating func failAll(_ error: PostgresError) {
    for request in requests[head...] { request.continuation?.resume(returning: .failure(error)) }
    requests = []
    head = 0
    bytes = 0
  }
}
