public import Logging
public import Metrics
public import Reactor

/// A log that tests can read and that prints nothing.
public func quietLogger() -> Logger { Logger(label: "test", level: .debug, handler: LogRecorder()) }

/// Runs `body` on a reactor of its own, and shuts that down.
public func withReactor<Value: Sendable>(
  metrics: MetricsRegistry = MetricsRegistry(), logger: Logger = quietLogger(),
  _ body: @Sendable (Reactor) async throws -> Value
) async throws -> Value {
  let reactor = Reactor(name: "test", logger: logger, metrics: metrics)
  do {
    let value = try await reactor.run { try await body(reactor) }
    await reactor.shutdown()
    return value
  } catch {
    await reactor.shutdown()
    throw error
  }
}

/// The longest wait for another process, on a machine that is busy.
public let patience = Duration.seconds(120)

/// Polls until `condition` holds, in small steps: for what other processes make true and no signal tells of.
///
/// - Throws: `TimedOut` naming `what`, after `timeout`.
public func eventually(
  _ what: String, within timeout: Duration = patience, on reactor: Reactor,
  _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + timeout
  Work.note(condition: what)
  defer { Work.note(condition: nil) }
  while try await !condition() {
    guard .now < deadline else { throw TimedOut(what: what, timeout: timeout) }
    try await reactor.sleep(for: .milliseconds(20))
  }
}

public struct TimedOut: Error, CustomStringConvertible {
  let what: String
  let timeout: Duration

  package init(what: String, timeout: Duration) {
    self.what = what
    self.timeout = timeout
  }

  public var description: String { "\(what): not within \(timeout)" }
}
