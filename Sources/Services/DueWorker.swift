import Lifecycle
import Logging
import Reactor
import Synchronization

/// Does what is due, again and again: ends, reminders, batches, seals. Several processes may do it, each thing claims itself.
final class DueWorker: Worker {
  let name: String
  private let context: Context
  private let logger: Logger
  private let standstill: String
  private let step: Step
  private let state = Mutex<String?>(nil)

  /// Does some of what is due.
  ///
  /// - Parameter failed: Told of one that fails and its error. It holds up no other.
  /// - Returns: True if there may be more.
  typealias Step = @Sendable (_ failed: (String, any Error) -> Void) async throws -> Bool

  private static let pause = Duration.seconds(1)

  /// - Parameter standstill: The problem if nothing is done at all, because the log cannot be read or written.
  init(_ name: String, _ context: Context, standstill: String, _ step: @escaping Step) {
    (self.name, self.context, self.standstill, self.step) = (name, context, standstill, step)
    logger = context.logger.labelled(name)
  }

  var problem: String? { get async { state.withLock { $0 } } }

  func run(until stop: StopSignal) async throws {
    try await stop.cancels { await self.context.reactor.run { await self.work() } }
  }

  private func work() async {
    var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
    while !Task.isCancelled {
      do {
        var failed: String?
        let hasMore = try await step { what, error in
          failed = "\(what) fails: the log says why"
          logger.error("What is due fails", metadata: ["what": "\(what)", .error: "\(error)"])
        }
        if failed != nil || !hasMore { state.withLock { $0 = failed } }
        backoff.reset()
        if !hasMore || failed != nil { try await context.reactor.sleep(for: Self.pause) }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        state.withLock { $0 = standstill }
        logger.warning("Nothing that is due is done", metadata: [.error: "\(error)"])
        do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }
}
