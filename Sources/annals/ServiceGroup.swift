import Glibc
import Logging
import Reactor

/// Something that runs until its task is cancelled and then ends in good order.
protocol Service: Sendable {
  func run() async throws
}

/// Runs services until SIGTERM or SIGINT, or until one of them fails; then ends all of them, the last one first.
struct ServiceGroup {
  let services: [any Service]
  let reactor: Reactor
  let logger: Logger

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let signals = reactor.signals([SIGTERM, SIGINT])
    let failures = AsyncStream<any Error>.makeStream()
    let tasks = services.map { service in
      Task {
        do { try await service.run() } catch is CancellationError {} catch { failures.continuation.yield(error) }
      }
    }
    let failure = await withTaskGroup(of: (any Error)?.self) { group in
      group.addTask {
        for await number in signals {
          logger.notice("Stopping", metadata: ["signal": "\(number)"])
          return nil
        }
        return nil
      }
      group.addTask {
        for await failure in failures.stream { return failure }
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      failures.continuation.finish()
      return first
    }
    for task in tasks.reversed() {
      task.cancel()
      await task.value
    }
    if let failure { throw failure }
    logger.notice("Stopped")
  }
}
