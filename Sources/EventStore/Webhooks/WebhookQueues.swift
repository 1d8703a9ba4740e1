public import Events
public import Identifiers
public import Postgres
import Schema
public import Time

/// The place of each document for each webhook, and the attempts to send messages.
public struct WebhookQueues: Sendable {
  /// A document that is sent next, taken for a minute.
  public struct Entry: Sendable {
    public let webhook: UUID
    public let document: UUID
    /// The event that is sent next, how many of its messages were sent, and the newest event that is to be sent.
    public let next: StreamVersion
    public let sent: Int
    public let newest: StreamVersion
    public let failures: Int
    /// Until when it was taken.
    public let until: Timestamp
  }

  /// A document with events that are to be sent.
  public struct Note: Sendable {
    public let webhook: UUID
    public let document: UUID
    public let first: StreamVersion
    public var newest: StreamVersion

    public init(webhook: UUID, document: UUID, first: StreamVersion, newest: StreamVersion) {
      self.webhook = webhook
      self.document = document
      self.first = first
      self.newest = newest
    }
  }

  /// An attempt to send a message, and its outcome.
  public struct Attempt: Sendable {
    public let message: String
    public let event: UUID
    public let document: UUID
    public let version: StreamVersion
    public let number: Int
    public let at: Timestamp
    public let milliseconds: Int
    /// nil: there was no answer.
    public let status: Int?
    /// nil: it was taken.
    public let problem: String?

    public init(
      message: String, event: UUID, document: UUID, version: StreamVersion, number: Int, at: Timestamp,
      milliseconds: Int, status: Int?, problem: String?
    ) {
      self.message = message
      self.event = event
      self.document = document
      self.version = version
      self.number = number
      self.at = at
      self.milliseconds = milliseconds
      self.status = status
      self.problem = problem
    }
  }

  public struct Parked: Sendable {
    public let document: UUID
    public let next: StreamVersion
    public let failures: Int
    public let reason: String
    public let at: Timestamp
  }

  private let pool: PostgresPool

  private static let note = Query("note_webhooks", Schema.noteWebhooks)
  private static let take = Query("take_webhooks", Schema.takeWebhooks)
  private static let settle = Query("settle_webhook", Schema.settleWebhook)
  private static let record = Query("record_attempts", Schema.recordAttempts)
  private static let list = Query("list_attempts", Schema.listAttempts)
  private static let listOfDocument = Query("list_attempts_of_document", Schema.listAttemptsOfDocument)
  private static let ofEvent = Query("attempts_of_event", Schema.attemptsOfEvent)
  private static let forgetOld = Query("forget_attempts", Schema.forgetAttempts)
  private static let parked = Query("list_parked_webhooks", Schema.listParkedWebhooks)
  private static let resume = Query("resume_webhook", Schema.resumeWebhook)
  private static let counts = Query("count_webhooks", Schema.countWebhooks)
  private static let forget = Query("forget_webhook", Schema.forgetWebhook)

  /// Rows that are written or deleted at a time.
  private static let page: Int64 = 5_000

  public init(_ pool: PostgresPool) { self.pool = pool }

  /// - Parameter isReplay: What was sent already is sent again.
  public func note(_ notes: [Note], isReplay: Bool = false) async throws {
    var rest = notes[...]
    while !rest.isEmpty {
      let part = rest.prefix(Int(Self.page))
      rest = rest.dropFirst(part.count)
      _ = try await pool.query(
        Self.note,
        [
          .uuids(part.map(\.webhook)), .uuids(part.map(\.document)), .bigints(part.map(\.first.value)),
          .bigints(part.map(\.newest.value)), .bool(isReplay),
        ])
    }
  }

  /// Takes documents that are due, 64 at most.
  ///
  /// - Parameters:
  ///   - room: How many of each webhook at most.
  ///   - count: How many in all.
  public func take(_ room: [(webhook: UUID, count: Int)], _ count: Int) async throws -> [Entry] {
    var entries: [Entry] = []
    let rows = try await pool.query(
      Self.take, [.uuids(room.map(\.webhook)), .bigints(room.map { Int64($0.count) }), .bigint(Int64(count))])
    for row in rows {
      entries.append(
        Entry(
          webhook: try row.get(0), document: try row.get(1), next: StreamVersion(try row.get(2)),
          sent: try row.get(3, as: Int.self), newest: StreamVersion(try row.get(4)),
          failures: try row.get(5, as: Int.self), until: try row.get(6)))
    }
    return entries
  }

  /// Gives back what was taken.
  ///
  /// - Parameters:
  ///   - delay: When it goes on.
  ///   - parked: Why it does not go on.
  public func settle(
    _ entry: Entry, next: StreamVersion, sent: Int, failures: Int, in delay: Duration, parked: String? = nil
  ) async throws {
    let milliseconds = delay.components.seconds * 1_000 + delay.components.attoseconds / 1_000_000_000_000_000
    _ = try await pool.query(
      Self.settle,
      [
        .uuid(entry.webhook), .uuid(entry.document), .timestamp(entry.until), .bigint(entry.next.value),
        .bigint(next.value), .bigint(Int64(sent)), .bigint(Int64(failures)), .bigint(milliseconds),
        parked.map { .text($0) } ?? .null,
      ])
  }

  public func record(_ attempts: [Attempt], of entry: Entry) async throws {
    guard !attempts.isEmpty else { return }
    _ = try await pool.query(
      Self.record,
      [
        .uuid(entry.webhook), .uuid(entry.document), .texts(attempts.map(\.message)), .uuids(attempts.map(\.event)),
        .bigints(attempts.map(\.version.value)), .bigints(attempts.map { Int64($0.number) }),
        .bigints(attempts.map(\.at.microseconds)), .bigints(attempts.map { Int64($0.milliseconds) }),
        .bigints(attempts.map { $0.status.map { Int64($0) } }), .texts(attempts.map(\.problem)),
      ])
  }

  /// The attempts of a webhook, the newest first.
  public func attempts(
    of webhook: UUID, before number: Int64?, document: UUID?, limit: Int
  ) async throws -> [(number: Int64, attempt: Attempt)] {
    try await pool.read(
      document == nil ? Self.list : Self.listOfDocument,
      [.uuid(webhook), .bigint(number ?? .max), .bigint(Int64(limit))] + (document.map { [.uuid($0)] } ?? [])
    ).map { row in (try row.get(0), try Self.attempt(row)) }
  }

  /// The attempts of all webhooks for an event, the oldest first.
  public func attempts(ofEvent event: UUID, limit: Int) async throws -> [(webhook: UUID, attempt: Attempt)] {
    try await pool.read(Self.ofEvent, [.uuid(event), .bigint(Int64(limit))])
      .map { row in (try row.get(10), try Self.attempt(row)) }
  }

  private static func attempt(_ row: Rows.Row) throws -> Attempt {
    Attempt(
      message: try row.get(1), event: try row.get(2), document: try row.get(3),
      version: StreamVersion(try row.get(4)), number: try row.get(5, as: Int.self), at: try row.get(6),
      milliseconds: try row.get(7, as: Int.self), status: try row.optional(8, as: Int.self),
      problem: try row.optional(9, as: String.self))
  }

  /// Forgets what was tried long ago.
  ///
  /// - Returns: True if there may be more.
  public func forgetAttempts(olderThan age: Duration) async throws -> Bool {
    try await pool.query(Self.forgetOld, [.bigint(age.components.seconds), .bigint(Self.page)]).affected == Self.page
  }

  public func parked(of webhook: UUID, after document: UUID?, limit: Int) async throws -> [Parked] {
    try await pool.read(
      Self.parked, [.uuid(webhook), .uuid(document ?? UUID(high: 0, low: 0)), .bigint(Int64(limit))]
    ).map { row in
      Parked(
        document: try row.get(0), next: StreamVersion(try row.get(1)), failures: try row.get(2, as: Int.self),
        reason: try row.get(3), at: try row.get(4))
    }
  }

  /// A parked document goes on.
  ///
  /// - Parameter skips: With the event behind the one that was not taken.
  /// - Returns: False if it is not parked.
  public func resume(_ webhook: UUID, _ document: UUID, skips: Bool) async throws -> Bool {
    try await pool.query(Self.resume, [.uuid(webhook), .uuid(document), .bool(skips)]).affected == 1
  }

  /// How many documents have a message that has failed, and how many are parked, each counted up to 10,000.
  public func counts(of webhooks: [UUID]) async throws -> [UUID: (failing: Int, parked: Int)] {
    var counts: [UUID: (failing: Int, parked: Int)] = [:]
    for row in try await pool.read(Self.counts, [.uuids(webhooks)]) {
      counts[try row.get(0)] = (try row.get(1, as: Int.self), try row.get(2, as: Int.self))
    }
    return counts
  }

  /// Forgets some of what a webhook was still to be told.
  ///
  /// - Returns: True if there may be more.
  public func forget(_ webhook: UUID) async throws -> Bool {
    try await pool.query(Self.forget, [.uuid(webhook), .bigint(Self.page)]).affected == Self.page
  }

  // MARK: Replays

  private static let begin = Query("begin_replay", Schema.beginReplay)
  private static let replay = Query("webhook_replay", Schema.webhookReplay)
  private static let advance = Query("advance_replay", Schema.advanceReplay)

  /// - Returns: False if the webhook has a replay that is not done.
  public func begin(replay webhook: UUID, from: LogIndex, before: LogIndex) async throws -> Bool {
    try await pool.query(Self.begin, [.uuid(webhook), .bigint(from.value), .bigint(before.value)]).affected == 1
  }

  /// The range that is still to be read; nil: none.
  public func replay(of webhook: UUID) async throws -> (next: LogIndex, before: LogIndex)? {
    guard let row = try await pool.query(Self.replay, [.uuid(webhook)]).first else { return nil }
    return (LogIndex(try row.get(0)), LogIndex(try row.get(1)))
  }

  /// - Parameter next: nil: it is done.
  public func advance(replay webhook: UUID, from: LogIndex, to next: LogIndex?) async throws {
    _ = try await pool.query(
      Self.advance, [.uuid(webhook), .bigint(from.value), next.map { .bigint($0.value) } ?? .null])
  }
}
