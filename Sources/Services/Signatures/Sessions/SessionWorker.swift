import EventStore
import Lifecycle
import Logging
import Reactor
import Synchronization

/// Ends signing sessions, reminds participants and seals what was signed when it is due. Several processes may do it: what is done already is not done
/// again.
final class SessionWorker: Worker {
  let name = "signing"
  private let context: Context
  private let sessions: SigningSessions
  private let logger: Logger
  private let state = Mutex<String?>(nil)

  private static let pause = Duration.seconds(1)

  /// - Parameter sealer: nil: completed sessions are not sealed here.
  init(_ context: Context, _ sealer: DocumentSealer?) {
    (self.context, sessions) = (context, SigningSessions(context.store, sealer: sealer))
    logger = context.logger.labelled("signing")
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
        let hasMore = try await sessions.look { session, error in
          failed = session
          logger.error("A signing session fails", metadata: ["session": session, .error: "\(error)"])
        }
        if let failed { state.withLock { $0 = "the signing session \(failed) fails: the log says why" } }
        if failed == nil, !hasMore { state.withLock { $0 = nil } }
        backoff.reset()
        if !hasMore { try await context.reactor.sleep(for: Self.pause) }
      } catch is CancellationError { return } catch {
        if Task.isCancelled { return }
        state.withLock { $0 = "signing sessions are not ended and nobody is reminded: the log cannot be written" }
        logger.warning("Signing sessions are not looked at", metadata: [.error: "\(error)"])
        do { try await context.reactor.sleep(for: backoff.next()) } catch { return }
      }
    }
  }
}
