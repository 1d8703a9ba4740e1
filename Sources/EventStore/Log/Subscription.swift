public import Events
import Identifiers
public import Logging
public import Metrics
public import Postgres
public import Reactor
import Time
import Schema
import Synchronization

/// Follows the log by index: first what is there, then what comes, each event once and in order (G2).
///
/// Its place is kept under its name in the database, after a batch has been handled: a stop in between hands the batch over
/// again.
public final class Subscription {
  /// The log that the checkpoint was made on is not this one, or has lost its tail.
  public struct Diverged: Error, CustomStringConvertible {
    public let reader: String
    public let reason: String
    public var description: String {
      "the reader \(reader) cannot go on: \(reason). Make what it keeps again from the beginning of the log"
    }
  }

  public let reader: String
  private let store: EventStore
  private let options: PostgresOptions
  private let selection: LogReader.Selection
  private let beginning: @Sendable () async throws -> LogIndex
  private let reactor: Reactor
  private let logger: Logger
  private let lag: Gauge

  private let pageSize: Int?
  /// How often a reader looks whether another process has left, and how often one says that it has not.
  private static let (pause, renewal) = (Duration.seconds(2), Duration.seconds(5))

  /// Another process follows the log under this name: this one was too slow to say that it goes on.
  public struct Overtaken: Error, CustomStringConvertible {
    public let reader: String
    public var description: String { "another process has taken over the reader \(reader)" }
  }

  static let readCheckpoint = Query("read_checkpoint", Schema.readCheckpoint)
  static let recordCheckpoint = Query("record_checkpoint_of_reader", Schema.recordCheckpointOfReader)
  static let claim = Query("claim_reader", Schema.claimReader)
  static let leave = Query("leave_reader", Schema.leaveReader)
  static let forgetReader = Query("forget_reader", Schema.forgetReader)
  static let eventAtIndex = Query("event_at_index", Schema.eventAtIndex)

  /// - Parameters:
  ///   - reader: Its name. One at a time uses it: others wait.
  ///   - pageSize: It reads pages of so many events, and holds nothing open while they are handled; nil: long stretches by COPY.
  ///   - beginning: Where it begins that has read nothing yet; the beginning of the log if left out.
  ///   - options: For sessions of its own, to the server itself: a pooler passes no notifications on.
  public init(
    _ reader: String, _ selection: LogReader.Selection = .all, of store: EventStore, _ options: PostgresOptions,
    pageSize: Int? = nil, beginning: @escaping @Sendable () async throws -> LogIndex = { .start },
    on reactor: Reactor, logger: Logger, metrics: MetricsRegistry
  ) {
    (self.beginning, self.pageSize) = (beginning, pageSize)
    (self.reader, self.selection, self.store, self.options) = (reader, selection, store, options)
    (self.reactor, self.logger) = (reactor, logger.labelled("log"))
    lag = metrics.gauge("annals_log_reader_lag", ["reader": reader], help: "Log indexes that the reader is behind.")
  }

  /// The index that a reader goes on with; nil: it has never read.
  public static func place(of reader: String, in store: EventStore) async throws -> LogIndex? {
    try await store.pool.query(readCheckpoint, [.text(reader)]).first.map { LogIndex(try $0.get(1)) }
  }

  /// Forgets how far the reader has come: it begins anew.
  public func forget() async throws {
    _ = try await store.pool.query(Self.forgetReader, [.text(reader)])
  }

  /// Hands events over until the task is cancelled or `handle` fails. While another process does so it waits.
  ///
  /// - Throws: `Diverged`; what `handle` throws; a broken connection.
  public func run(_ handle: ([RecordedEvent]) async throws -> Void) async throws {
    let bell = Doorbell(on: reactor)
    defer { bell.close() }
    let listener = try await PostgresConnection.connect(options, on: reactor, logger: logger)
    let log = LogReader(store, options, on: reactor, logger: logger)
    let lease = Lease(reader, store)
    // Beside the handler, which may take as long as it likes.
    let renewing = Self.renewing(lease, on: reactor)
    defer { renewing.cancel() }
    do {
      while try await !lease.renew() { try await reactor.sleep(for: Self.pause) }
      var next = try await start()
      try await listener.listen("annals_log") { bell.ring() }
      while true {
        let begun = next
        try lease.check()
        func pass(_ events: [RecordedEvent]) async throws {
          try await handle(events)
          guard let last = events.last, let index = last.index else { return }
          try lease.check()
          next = index.next
          lag.set(max(0, try await store.end().value - next.value))
          try await record(next, handled: last.id)
        }
        let end: LogIndex
        if let pageSize {
          let page = try await page(from: next, limit: pageSize)
          if !page.isEmpty { try await pass(page) }
          end = next
        } else {
          end = try await log.read(selection, from: next) { try await pass($0) }
        }
        // Beyond events that the selection leaves out.
        if end > next {
          next = end
          try await record(next, handled: nil)
        }
        guard next == begun else { continue }
        lag.set(0)
        // The time-out is for a notification that a broken connection has swallowed.
        if await bell.wait(timeout: .seconds(1)) == .cancelled { throw CancellationError() }
        try await listener.check()
      }
    } catch {
      await listener.close()
      await lease.leave()
      throw error
    }
  }

  private static func renewing(_ lease: Lease, on reactor: Reactor) -> Task<Void, any Error> {
    Task(executorPreference: reactor) {
      while !Task.isCancelled {
        try await reactor.sleep(for: renewal)
        if lease.isHeld { _ = try? await lease.renew() }
      }
    }
  }

  private func page(from index: LogIndex, limit: Int) async throws -> [RecordedEvent] {
    switch selection {
    case .all: try await store.readLog(from: index, limit: limit).events
    case .category(let category): try await store.readCategory(category, from: index, limit: limit).events
    }
  }

  /// The index to go on with, if the log is the one that the checkpoint was made on.
  private func start() async throws -> LogIndex {
    guard let row = try await store.pool.query(Self.readCheckpoint, [.text(reader)]).first else {
      let first = try await beginning()
      if first > .start { try await record(first, handled: nil) }
      return first
    }
    let index = try row.get(1, as: Int64.self)
    let log = try row.get(0, as: UUID.self)
    guard let found = try await store.pool.query(Self.eventAtIndex, [.bigint(index - 1)]).first else { return .start }
    let id = try found.get(0, as: UUID.self)
    guard id == log else { throw Diverged(reader: reader, reason: "it has read log \(log), and this is log \(id)") }
    guard index > 0 else { return .start }
    let (expected, event) = (try row.optional(2, as: UUID.self), try found.optional(1, as: UUID.self))
    guard expected == event else {
      throw Diverged(
        reader: reader,
        reason: event.map {
          "at index \(index - 1) it has read event \(expected.map { "\($0)" } ?? "none"), and the log has \($0)"
        }
          ?? "it has read up to index \(index - 1), which the log does not have: its tail is lost")
    }
    return LogIndex(index)
  }

  private func record(_ next: LogIndex, handled: UUID?) async throws {
    let rows = try await store.pool.query(
      Self.recordCheckpoint, [.text(reader), .bigint(next.value), handled.map { .uuid($0) } ?? .null])
    guard rows.affected == 1 else {
      throw Diverged(
        reader: reader, reason: "the event that it has handled before index \(next) is not in the log any more")
    }
  }
}

/// The right to follow the log under a name, for half a minute at a time.
private final class Lease: Sendable {
  private let reader: String
  private let store: EventStore
  /// Until when this process has it; nil: it has not.
  private let until = Mutex<Timestamp?>(nil)

  init(_ reader: String, _ store: EventStore) { (self.reader, self.store) = (reader, store) }

  var isHeld: Bool { until.withLock { $0 != nil } }

  func check() throws(Subscription.Overtaken) {
    guard isHeld else { throw Subscription.Overtaken(reader: reader) }
  }

  /// Takes it, or keeps it for longer.
  ///
  /// - Returns: False if another process has it.
  func renew() async throws -> Bool {
    let before = until.withLock { $0 }
    let parameters: [Parameter] = [.text(reader), before.map { .timestamp($0) } ?? .null]
    // In a task of its own: a caller that is cancelled in the midst of it would not know until when it has the name.
    let task = Task { [store] in
      try await store.pool.query(Subscription.claim, parameters).first?.get(0, as: Timestamp.self)
    }
    let new = try await task.value
    return until.withLock { until in
      // It was left meanwhile.
      guard until == before else { return false }
      until = new
      return new != nil
    }
  }

  /// Lets others have it at once. If that fails, they wait for half a minute.
  func leave() async {
    let last = until.withLock { until in
      defer { until = nil }
      return until
    }
    guard let last else { return }
    let parameters: [Parameter] = [.text(reader), .timestamp(last)]
    // The caller's task may be cancelled.
    let task = Task { [store] in _ = try? await store.pool.query(Subscription.leave, parameters) }
    await task.value
  }
}
