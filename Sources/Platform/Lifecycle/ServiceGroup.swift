import Glibc
public import Logging
public import Reactor
import Synchronization

/// A part of a process that runs until it is told to stop.
public protocol Service: Sendable {
  /// Its name in logs.
  var name: String { get }

  /// Returns when the work is done, or soon after the signal, with what was under way finished.
  ///
  /// - Throws: An error that ends the whole process.
  func run(until stop: StopSignal) async throws
}

/// Runs services until SIGTERM or SIGINT, or until one of them fails. Then all of them stop in two phases: the signal,
/// and after the grace period the cancellation of whoever is left.
public struct ServiceGroup: Sendable {
  private let services: [any Service]
  private let stop: StopSignal
  private let grace: Duration
  private let reactor: Reactor
  private let logger: Logger

  public init(
    _ services: [any Service], stop: StopSignal, grace: Duration = .seconds(25), on reactor: Reactor, logger: Logger
  ) {
    (self.services, self.stop, self.grace, self.reactor, self.logger) = (services, stop, grace, reactor, logger)
  }

  /// - Throws: The error of the first service that failed.
  public func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let signals = reactor.signals([SIGTERM, SIGINT])
    let listener = Task {
      for await number in signals {
        logger.notice("Stopping", metadata: ["signal": "\(number)"])
        stop.signal()
      }
    }
    let progress = Progress(services.map(\.name))
    let tasks = services.map { service in
      Task {
        do { try await service.run(until: stop) } catch is CancellationError {} catch {
          progress.failed(error)
          stop.signal()
        }
        progress.ended(service.name)
      }
    }
    let deadline = Task {
      await stop.wait()
      try await reactor.sleep(for: grace)
      logger.warning(
        "Services did not stop in time and are cancelled",
        metadata: ["services": progress.running.joined(separator: ", ")])
      for task in tasks { task.cancel() }
    }
    for task in tasks { await task.value }
    deadline.cancel()
    listener.cancel()
    if let failure = progress.failure { throw failure }
    logger.notice("Stopped")
  }

  /// Which services are still running, and the first error.
  private final class Progress: Sendable {
    private let state: Mutex<(running: [String], failure: (any Error)?)>

    init(_ names: [String]) { state = Mutex((names, nil)) }

    func ended(_ name: String) {
      state.withLock { state in
        if let index = state.running.firstIndex(of: name) { state.running.remove(at: index) }
      }
    }

    func failed(_ error: any Error) { state.withLock { $0.failure = $0.failure ?? error } }

    var running: [String] { state.withLock { $0.running } }
    var failure: (any Error)? { state.withLock { $0.failure } }
  }
}
