import Relay

/// Encodes the rows of a snapshot. Each row is held back until the next one is known, because the last row of a table
/// and the last row of all tables carry a marker.
struct SnapshotRows {
  let encoder: ConnectorEncoder
  let delivery: Delivery
  let isResumed: Bool
  /// Number of this snapshot (its xmax), which other snapshots do not share.
  let reading: UInt64
  let context: ChangeContext
  /// Number of rows taken.
  private(set) var count = 0
  private var held: (row: TableSnapshot.Row, table: UInt32, isFirst: Bool)?

  init(encoder: ConnectorEncoder, delivery: Delivery, isResumed: Bool, reading: UInt64, context: ChangeContext) {
    (self.encoder, self.delivery, self.isResumed) = (encoder, delivery, isResumed)
    (self.reading, self.context) = (reading, context)
  }

  /// The table whose last row is not sent yet.
  var present: UInt32? { held?.table }

  mutating func take(_ row: TableSnapshot.Row, of table: UInt32, into batch: inout MessageBatch) throws {
    let isFirst = held?.table != table
    try release(marker: isFirst ? "\"last_in_data_collection\"" : nil, into: &batch)
    held = (row, table, isFirst)
    count += 1
  }

  mutating func finish(into batch: inout MessageBatch) throws { try release(marker: "\"last\"", into: &batch) }

  private mutating func release(marker: StaticString?, into batch: inout MessageBatch) throws {
    guard let held else { return }
    let place: StaticString =
      count == 1 && !isResumed ? "\"first\"" : held.isFirst ? "\"first_in_data_collection\"" : "\"true\""
    let source = MessageSource.row(count, table: held.table, reading: reading, start: context.lsn)
    try delivery.counting(context.number, from: source, &batch) { batch in
      try held.row.withTuple {
        try encoder.snapshot($0, of: held.table, marker: marker ?? place, context, into: &batch)
      }
    }
    self.held = nil
  }
}
