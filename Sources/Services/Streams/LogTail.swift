import Configuration
import Synchronization
import EventStore
import Events
import Lifecycle
import Logging
import Metrics
import Postgres
import Reactor

/// Reads the end of the log while somebody waits for it, once in each process, and hands the events to the hub.
struct LogTail: Worker {
  let name = "streams"
  private let context: Context
  private let logger: Logger
  private let state = TailState()
  private let subscribers: Gauge

  /// After so long without subscribers it stops reading.
  private static let rest = Duration.seconds(10)
  private static let pageSize = 500

  init(_ context: Context) {
    self.context = context
    logger = context.logger.labelled("streams")
    subscribers = context.metrics.gauge(
      "annals_stream_subscribers", help: "Sockets and event streams that wait for events.")
  }

  var problem: String? { get async { state.problem } }

  func run(until stop: StopSignal) async throws {
    let bell = Doorbell(on: context.reactor)
    context.hub.begin { [reactor = context.reactor] in reactor.post { bell.ring() } }
    let following = Task { await context.reactor.run { await follow(bell) } }
    await stop.wait()
    // New requests come in for a while yet: a stream that ended at once would be asked for again at once.
    try? await context.reactor.sleep(for: context.settings[HTTPSettings.stopDelay])
    context.hub.close()
    following.cancel()
    await following.value
  }

  private func follow(_ bell: Doorbell) async {
    var backoff = Backoff()
    while !Task.isCancelled {
      do { try await follow(bell, &backoff) } catch {
        if Task.isCancelled { return }
        state.problem = "the log cannot be read"
        logger.warning("Streams cannot follow the log", metadata: [.error: "\(error)"])
        try? await context.reactor.sleep(for: backoff.next())
      }
    }
  }

  private func follow(_ bell: Doorbell, _ backoff: inout Backoff) async throws {
    while context.hub.count == 0 {
      subscribers.set(0)
      if await bell.wait() == .cancelled { throw CancellationError() }
    }
    let listener = try await PostgresConnection.connect(context.postgres, on: context.reactor, logger: logger)
    do {
      try await listener.listen("annals_log") { bell.ring() }
      var next = try await context.store.end()
      // Whoever subscribed before this moment reads up to here himself.
      context.hub.interrupt()
      context.hub.isLive = true
      state.problem = nil
      backoff.reset()
      var alone: ContinuousClock.Instant?
      while true {
        let page = try await context.store.readLog(from: next, limit: Self.pageSize)
        if let last = page.events.last?.index {
          context.hub.publish(page.events)
          next = last.next
        }
        let count = context.hub.count
        subscribers.set(Int64(count))
        alone = count > 0 ? nil : alone ?? .now
        if let alone, .now - alone > Self.rest { break }
        guard !page.hasMore else { continue }
        // The time-out is for a notification that a broken connection has swallowed.
        if await bell.wait(timeout: .seconds(1)) == .cancelled { throw CancellationError() }
        try await listener.check()
      }
    } catch {
      context.hub.isLive = false
      await listener.close()
      throw error
    }
    context.hub.isLive = false
    // Whoever has come in this moment is told to read the log when it goes on.
    await listener.close()
  }
}

private final class TailState: Sendable {
  private let text = Mutex<String?>(nil)
  var problem: String? {
    get { text.withLock { $0 } }
    set { text.withLock { $0 = newValue } }
  }
}
