import Events
import Postgres
import Schema
import Time

/// Reads the outbox from the table by binary COPY (PostgreSQL documentation, “COPY”, “Binary Format”): for a new slot,
/// for a catch-up, and for `relay.source=table`.
struct OutboxBacklog {
  /// The rows of a range of numbers, after a position, that the session's snapshot sees and `published` does not. Numbers
  /// have the order of versions within one event stream, and grow with the epoch.
  static func query(
    after position: Position = Position.start, unseenBy published: Published?, in range: Range<Int64>
  ) -> Query {
    let unseen = published.map {
      """
      and epoch >= \($0.epoch) and xid >= '\($0.snapshot.xmin)'::xid8
      and not pg_visible_in_snapshot(xid, '\($0.snapshot)'::pg_snapshot)
      """
    }
    return Query(
      "",
      """
      copy (\(select) where sequence >= \(range.lowerBound) and sequence < \(range.upperBound)
            and (epoch, xid, sequence) > (\(position.literals)) \(unseen ?? "")
            order by sequence) to stdout (format binary)
      """)
  }

  static let partitions = Query("outbox_ranges", Schema.outboxRanges)

  /// Ranges of numbers that cover the outbox, one for each partition: the server sorts one after the other, so that rows
  /// flow at once.
  static func ranges(_ session: PostgresSession) async throws -> [Range<Int64>] {
    let bounds = try await session.query(partitions).map { try $0.get(0, as: Int64.self) }
    let cuts = [Int64.min] + bounds + [Int64.max]
    return zip(cuts, cuts.dropFirst()).filter { $0 < $1 }.map { $0..<$1 }
  }

  /// Final rows after a position: their transactions are older than every running one, so no row can appear later at a
  /// position that a reader has passed (G2).
  static func finalRows(after position: Position, shard: Int, of shards: Int, limit: Int) -> Query {
    let part = shards == 1 ? "" : "and abs(hashtextextended(key, 0) % \(shards)) = \(shard)"
    return Query(
      "",
      """
      copy (\(select)
            where (epoch, xid, sequence) > (\(position.literals))
              and (epoch, xid) < ((select epoch from annals.log), pg_snapshot_xmin(pg_current_snapshot())) \(part)
            order by epoch, xid, sequence limit \(limit)) to stdout (format binary)
      """)
  }

  private static let select = """
    select epoch, xid, sequence, category, key, op, before, after, event_id, type, version, headers, recorded_at
    from annals.outbox
    """

  /// The columns of the query, in the form of a pgoutput relation.
  static let relation = PgOutputMessage.Relation(
    id: 0, schema: "annals", name: "outbox",
    columns: [
      ("epoch", 23), ("xid", 5069), ("sequence", 20), ("category", 25), ("key", 25), ("op", 18), ("before", 114),
      ("after", 114), ("event_id", 2950), ("type", 25), ("version", 20), ("headers", 114), ("recorded_at", 1184),
    ].map { PgOutputMessage.Relation.Column(name: $0.0, type: $0.1) })

  private var copy = BinaryCopy()
  private var fields: [UnsafeRawBufferPointer?] = []

  /// One row: its columns, the transaction that wrote it, and when.
  struct Row {
    let columns: PgOutputMessage.Tuple
    let position: Position
    let recordedAt: Timestamp
  }

  /// Decodes one message of the COPY; nil at its end.
  mutating func row(_ message: UnsafeRawBufferPointer) throws(PgOutputError) -> Row? {
    do throws(BinaryCopy.Malformed) {
      guard try copy.row(message, into: &fields) else { return nil }
    } catch { throw PgOutputError(expected: error.description, offset: 0) }
    let columns = fields.map { field -> PgOutputMessage.Tuple.Column in field.map { .binary($0) } ?? .null }
    guard columns.count == Self.relation.columns.count, case .binary(let epoch) = columns[0], epoch.count == 4,
      case .binary(let xid) = columns[1], xid.count == 8, case .binary(let sequence) = columns[2], sequence.count == 8,
      case .binary(let time) = columns[12],
      time.count == 8
    else { throw PgOutputError(expected: "a row of the outbox", offset: 0) }
    let microseconds = Int64(bigEndian: time.loadUnaligned(as: Int64.self))
    return Row(
      columns: PgOutputMessage.Tuple(columns: columns),
      position: Position(
        epoch: Int32(bigEndian: epoch.loadUnaligned(as: Int32.self)),
        transaction: UInt64(bigEndian: xid.loadUnaligned(as: UInt64.self)),
        sequence: Int64(bigEndian: sequence.loadUnaligned(as: Int64.self))),
      recordedAt: Timestamp(microseconds: microseconds &+ Timestamp.postgresEpoch))
  }
}

extension Position {
  /// The position in SQL, for a statement that takes no parameters.
  var literals: String { "\(epoch), '\(transaction)'::xid8, \(sequence)" }
}
