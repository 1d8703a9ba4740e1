import Events
import Postgres
import Schema

/// Tracks published outbox transactions by transaction id (xid8).
///
/// A slot is confirmed by LSN, but a row of the outbox has only its transaction id. With a watermark, reading the table
/// can continue where the WAL was left, and the reverse. A watermark consists of a server snapshot whose transactions
/// have all been published, and of the transactions published since.
final class Watermark: CustomStringConvertible {
  static let readQuery = Query("read_watermark", Schema.readWatermark)
  static let recordQuery = Query("record_watermark", Schema.recordWatermark)
  /// Limit on `recent`. A new snapshot normally comes long before.
  static let maximumRecent = 1_000_000

  /// All transactions that it sees have been published; nil: unknown.
  private(set) var snapshot: TransactionSnapshot?
  /// Everything that the snapshot sees was committed before this LSN.
  private(set) var position = LogSequenceNumber.zero
  /// Transactions published since, in commit order: id and end LSN.
  private var recent: [(transaction: UInt64, end: LogSequenceNumber)] = []
  private var isIncomplete = false
  /// Up to there the snapshot and `recent` hold whatever was published.
  private var complete = LogSequenceNumber.zero
  /// A relay that was killed has published more, behind `complete`. What is published now comes behind that: with a part of it left
  /// out, a reading of the table would send older messages of a key and not the newer ones again.
  private(set) var hasGap = false
  /// Transactions that a graceful shutdown has recorded. The slot may not have confirmed all of them.
  private var recorded: Set<UInt64> = []
  /// The next snapshot. It takes effect once its position is confirmed.
  private var next: (snapshot: TransactionSnapshot, position: LogSequenceNumber)?

  /// While there is a gap: a transaction id that was assigned after everything in it.
  private var bound: UInt64 = 0

  /// The log's epoch: transaction ids mean something in it alone, and all rows of earlier ones have been published.
  private var epoch: Int32 = 0

  // The current transaction, if its rows are published.
  private var present: UInt64?
  private var isFiltering = false

  // MARK: Rows of the WAL

  func begin(commit: LogSequenceNumber) {
    present = nil
    isFiltering = commit < position
  }

  /// True if a row of this transaction must be published, false if the watermark already holds the transaction.
  func takes(_ transaction: UInt64) -> Bool {
    let isPublished = recorded.contains(transaction) || isFiltering && snapshot?.sees(transaction) == true
    present = isPublished ? nil : transaction
    return !isPublished
  }

  func commit(end: LogSequenceNumber) {
    complete = max(complete, end)
    guard let transaction = present else { return }
    present = nil
    if recent.count < Self.maximumRecent { recent.append((transaction, end)) } else { isIncomplete = true }
  }

  // MARK: Moving on

  /// True if transactions have been published that the snapshot does not see, or if there is no snapshot.
  var isBehind: Bool { !recent.isEmpty || snapshot == nil || hasGap }

  /// Offers a snapshot whose transactions were all committed before `position`.
  func offer(_ snapshot: TransactionSnapshot, at position: LogSequenceNumber) {
    // A commit is in the WAL before it is visible: what lies in the gap must have ended.
    if hasGap, snapshot.xmin <= bound { return }
    if next == nil { next = (snapshot, position) }
  }

  /// Adopts the offered snapshot if everything before its position has been confirmed.
  ///
  /// - Returns: True if there is something new to record.
  func advance(confirmed: LogSequenceNumber) -> Bool {
    complete = max(complete, confirmed)
    guard let (snapshot, position) = next, position <= confirmed else { return false }
    reset(to: snapshot, at: position)
    return true
  }

  /// Sets a snapshot whose transactions have all been published, from the WAL or from the table.
  ///
  /// - Parameter start: Where the stream goes on, if that is before the position.
  func reset(
    to snapshot: TransactionSnapshot, at position: LogSequenceNumber, before start: LogSequenceNumber = .max
  ) {
    (self.snapshot, self.position, next) = (snapshot, position, nil)
    recent.removeAll { snapshot.sees($0.transaction) }
    recorded = recorded.filter { !snapshot.sees($0) }
    (isIncomplete, hasGap) = (false, false)
    complete = max(complete, min(position, start))
  }

  /// True if the watermark is complete: for every transaction, it shows if it was published.
  var isKnown: Bool { snapshot != nil && !isIncomplete }

  /// The published transactions; nil if they are not completely known. Only the WAL can then be read.
  func published(confirmed: LogSequenceNumber) -> Published? {
    guard let snapshot, !isIncomplete else { return nil }
    let others = hasGap ? [] : Set(recent.lazy.filter { $0.end <= confirmed }.map(\.transaction))
    return Published(epoch: epoch, snapshot: snapshot, others: others)
  }

  /// The snapshot, and the transactions published since, for the log.
  var description: String {
    "\(snapshot.map { "\($0)" } ?? "unknown") at \(position), then "
      + recent.suffix(20).map { "\($0.transaction)" }.joined(separator: ",")
  }

  // MARK: In the database

  /// Loads the recorded watermark. Transactions that this process has published since are kept, unless another process
  /// has recorded a watermark in the meantime.
  ///
  /// - Parameter streamed: Up to there relays have published from the slot, this process or others.
  func read(
    _ slot: String, in epoch: Int32, _ session: PostgresSession, confirmed: LogSequenceNumber,
    streamed: LogSequenceNumber
  ) async throws {
    next = nil
    self.epoch = epoch
    recorded = []
    recent.removeAll { $0.end > confirmed }
    complete = min(complete, confirmed)
    guard let row = try await session.query(Self.readQuery, [.text(slot), .integer(epoch)]).first,
      let text = try row.optional(0, as: String.self), let snapshot = TransactionSnapshot(text),
      let position = try row.optional(1, as: LogSequenceNumber.self)
    else {
      (self.snapshot, recent, isIncomplete, hasGap) = (nil, [], false, false)
      return
    }
    let recorded = try row.optional(3, as: LogSequenceNumber.self) ?? position
    if snapshot != self.snapshot || position != self.position {
      (recent, isIncomplete, hasGap, complete) = ([], false, false, recorded)
    } else {
      complete = max(complete, recorded)
    }
    if streamed > complete {
      hasGap = true
      bound = try await CatchUpPlan.transactionID(session)
    }
    (self.snapshot, self.position) = (snapshot, position)
    let known = Set(recent.map(\.transaction))
    let numbers = try row.get(2, as: String.self).dropFirst().dropLast()
    self.recorded = Set(numbers.split(separator: ",").compactMap { UInt64($0) })
    for number in self.recorded where !known.contains(number) { recent.append((number, .zero)) }
  }

  /// Records the snapshot and, at a graceful shutdown, the transactions published since.
  func record(
    _ slot: String, _ session: PostgresSession, confirmed: LogSequenceNumber, withRecent: Bool
  ) async throws {
    guard let snapshot else { return }
    // With a gap the list would be believed later, and what lies in the gap sent without it.
    let all = withRecent && !hasGap ? recent.filter { $0.end <= confirmed } : []
    let list = all.prefix(100_000)
    let isComplete = withRecent && !hasGap && !isIncomplete && list.count == all.count
    // What was committed right before the position may not be visible to the snapshot.
    let without = min(position, recent.first.map { LogSequenceNumber(max(1, $0.end.value) - 1) } ?? position)
    let recorded = try await session.query(
      Self.recordQuery,
      [
        .text(slot), .text(snapshot.description), .lsn(position),
        .text("{\(list.map { "\($0.transaction)" }.joined(separator: ","))}"), .integer(epoch),
        .lsn(min(confirmed, isComplete ? all.count == recent.count ? complete : max(confirmed, position) : without)),
      ])
    guard !recorded.isEmpty else { throw ReplicationError.displaced(relay: slot) }
  }
}

/// Rows of the outbox that have been published: all of earlier epochs, and in this epoch those of some transactions.
struct Published {
  let epoch: Int32
  let snapshot: TransactionSnapshot
  let others: Set<UInt64>

  func holds(_ position: Position) -> Bool {
    position.epoch < epoch || snapshot.sees(position.transaction) || others.contains(position.transaction)
  }
}
