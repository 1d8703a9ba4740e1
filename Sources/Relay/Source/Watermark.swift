import Postgres
import Schema

/// Which transactions of the outbox have been published, said in their own numbers.
///
/// A slot is confirmed by positions in the WAL, a row of the outbox knows its transaction alone: with this, one can be
/// read where the other was left. It is a snapshot of the server all of whose transactions have been published, and
/// behind it those that have been published since.
final class Watermark {
  static let readQuery = Query("read_watermark", Schema.readWatermark)
  static let recordQuery = Query("record_watermark", Schema.recordWatermark)
  /// More of them than this are not kept apart; a new snapshot comes long before.
  static let maximumRecent = 1_000_000

  /// Everything that it sees has been published; nil: unknown.
  private(set) var snapshot: Snapshot?
  /// All that the snapshot sees was committed before this position.
  private(set) var position = LogSequenceNumber.zero
  /// Published since: number and end of each transaction, in the order of commits.
  private var recent: [(transaction: UInt64, end: LogSequenceNumber)] = []
  private var isIncomplete = false
  /// Those that an orderly end has recorded: the slot may not have taken note of all of them.
  private var recorded: Set<UInt64> = []
  /// The next snapshot; it counts once its position is confirmed.
  private var next: (snapshot: Snapshot, position: LogSequenceNumber)?

  // The transaction whose rows are coming and are published.
  private var present: UInt64?
  private var isFiltering = false

  // MARK: Rows of the WAL

  func begin(commit: LogSequenceNumber) {
    present = nil
    isFiltering = commit < position
  }

  /// Whether a row is to be published; one that the snapshot sees has been.
  func takes(_ transaction: UInt64) -> Bool {
    let isPublished = recorded.contains(transaction) || isFiltering && snapshot?.sees(transaction) == true
    present = isPublished ? nil : transaction
    return !isPublished
  }

  func commit(end: LogSequenceNumber) {
    guard let transaction = present else { return }
    present = nil
    if recent.count < Self.maximumRecent { recent.append((transaction, end)) } else { isIncomplete = true }
  }

  // MARK: Moving on

  /// Whether something has been published that the snapshot does not see.
  var isBehind: Bool { !recent.isEmpty || snapshot == nil }

  /// Offers a snapshot whose transactions were all committed before `position`.
  func offer(_ snapshot: Snapshot, at position: LogSequenceNumber) {
    if next == nil { next = (snapshot, position) }
  }

  /// Takes the offered snapshot where everything before its position has been confirmed.
  ///
  /// - Returns: Whether there is something new to record.
  func advance(confirmed: LogSequenceNumber) -> Bool {
    guard let (snapshot, position) = next, position <= confirmed else { return false }
    reset(to: snapshot, at: position)
    return true
  }

  /// Everything that the snapshot sees has been published, by whatever way.
  func reset(to snapshot: Snapshot, at position: LogSequenceNumber) {
    (self.snapshot, self.position, next) = (snapshot, position, nil)
    recent.removeAll { snapshot.sees($0.transaction) }
    recorded = recorded.filter { !snapshot.sees($0) }
    isIncomplete = false
  }

  /// Whether it can say of every transaction whether it was published.
  var isKnown: Bool { snapshot != nil && !isIncomplete }

  /// What has been published behind the snapshot; nil where that is not known whole: then only the WAL can be read on.
  func published(confirmed: LogSequenceNumber) -> Published? {
    guard let snapshot, !isIncomplete else { return nil }
    return Published(
      snapshot: snapshot, others: Set(recent.lazy.filter { $0.end <= confirmed }.map(\.transaction)))
  }

  // MARK: In the database

  /// Finds what was recorded. What this very process knows beyond it is kept where nobody else has recorded since.
  func read(_ slot: String, _ session: PostgresSession, confirmed: LogSequenceNumber) async throws {
    next = nil
    recorded = []
    recent.removeAll { $0.end > confirmed }
    guard let row = try await session.query(Self.readQuery, [.text(slot)]).first,
      let text = try row.optional(0, as: String.self), let snapshot = Snapshot(text),
      let position = try row.optional(1, as: LogSequenceNumber.self)
    else {
      (self.snapshot, recent, isIncomplete) = (nil, [], false)
      return
    }
    if snapshot != self.snapshot || position != self.position { (recent, isIncomplete) = ([], false) }
    (self.snapshot, self.position) = (snapshot, position)
    let known = Set(recent.map(\.transaction))
    let numbers = try row.get(2, as: String.self).dropFirst().dropLast()
    recorded = Set(numbers.split(separator: ",").compactMap { UInt64($0) })
    for number in recorded where !known.contains(number) { recent.append((number, .zero)) }
  }

  /// Records the snapshot and, at an orderly end, what has been published since.
  func record(
    _ slot: String, _ session: PostgresSession, confirmed: LogSequenceNumber, withRecent: Bool
  ) async throws {
    guard let snapshot else { return }
    let list = withRecent ? recent.filter { $0.end <= confirmed }.prefix(100_000) : []
    try await session.query(
      Self.recordQuery,
      [
        .text(slot), .text(snapshot.description), .lsn(position),
        .text("{\(list.map { "\($0.transaction)" }.joined(separator: ","))}"),
      ])
  }
}

/// Transactions of the outbox that have been published.
struct Published {
  let snapshot: Snapshot
  let others: Set<UInt64>

  func holds(_ transaction: UInt64) -> Bool { snapshot.sees(transaction) || others.contains(transaction) }
}

/// What a snapshot of the server sees (PostgreSQL documentation, “Transaction ID and Snapshot Information Functions”):
/// transactions below `xmin`, and those below `xmax` that are not among the ones that ran.
struct Snapshot: Equatable, CustomStringConvertible {
  let xmin: UInt64
  let xmax: UInt64
  private let running: Set<UInt64>

  /// `xmin:xmax:running,running`.
  init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, let xmin = UInt64(parts[0]), let xmax = UInt64(parts[1]), xmin <= xmax else { return nil }
    var running: Set<UInt64> = []
    for part in parts[2].split(separator: ",") {
      guard let number = UInt64(part) else { return nil }
      running.insert(number)
    }
    (self.xmin, self.xmax, self.running) = (xmin, xmax, running)
  }

  func sees(_ transaction: UInt64) -> Bool {
    transaction < xmin || (transaction < xmax && !running.contains(transaction))
  }

  /// The same for a number without its epoch: the nearest one to those that the snapshot knows.
  func sees(short transaction: UInt32) -> Bool {
    let distance = Int32(truncatingIfNeeded: Int64(transaction) - Int64(UInt32(truncatingIfNeeded: xmax)))
    return sees(UInt64(bitPattern: Int64(bitPattern: xmax) &+ Int64(distance)))
  }

  var description: String { "\(xmin):\(xmax):\(running.sorted().map { "\($0)" }.joined(separator: ","))" }
}

/// Where the source stands, as one look at it found.
struct SourcePosition {
  static let query = Query("source_position", Schema.sourcePosition)

  let snapshot: Snapshot
  /// All that the snapshot sees was committed before this.
  let inserted: LogSequenceNumber
  /// Nothing before this can be lost by a crash of the server.
  let flushed: LogSequenceNumber
  /// The last number that was given to an event.
  let lastEvent: Int64

  static func read(_ session: PostgresSession) async throws -> SourcePosition {
    guard let row = try await session.query(query).first, let snapshot = Snapshot(try row.get(0)) else {
      throw ReplicationError.outOfPlace("a snapshot that cannot be read")
    }
    return SourcePosition(
      snapshot: snapshot, inserted: try row.get(1), flushed: try row.get(2), lastEvent: try row.get(3))
  }
}

/// When the outbox may be read from the table instead of the WAL.
///
/// A commit is in the WAL before its rows are visible. So: note a position in the WAL; take a transaction number, which is
/// higher than all that were given out by then; wait until every lower one has ended; a snapshot taken now sees all that
/// was committed before that position. (A snapshot's own xmax will not do: it is behind the last one that has completed, and
/// a transaction with a higher number may have its commit in the WAL already.) Where a long transaction holds this up, the
/// WAL goes on being read, and may be there first.
struct CatchUpPlan {
  /// The WAL is read on from here.
  let start: LogSequenceNumber
  private let bound: UInt64
  private(set) var isReady = false

  /// - Parameter bound: A transaction number that was given out after the position was noted.
  init(at source: SourcePosition, bound: UInt64) { (start, self.bound) = (source.flushed, bound) }

  static func make(at source: SourcePosition, _ session: PostgresSession) async throws -> CatchUpPlan {
    let number = try await session.execute("select pg_current_xact_id()", name: "taking a transaction number")
      .first?.first.flatMap { $0 }.flatMap { UInt64($0) }
    guard let number else { throw ReplicationError.outOfPlace("no transaction number") }
    return CatchUpPlan(at: source, bound: number)
  }

  /// Takes another look.
  mutating func observe(_ source: SourcePosition) {
    if source.snapshot.xmin > bound { isReady = true }
  }
}
