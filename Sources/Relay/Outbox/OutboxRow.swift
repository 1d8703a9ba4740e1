import Postgres
import Time

/// A row of Annals' outbox, from the WAL or the table. The bytes are borrowed.
struct OutboxRow {
  /// The log's epoch, in which the transaction's id means something.
  let epoch: Int32
  /// Id of the transaction that wrote the row, with its epoch (xid8).
  let transaction: UInt64
  let sequence: Int64
  let category: UnsafeRawBufferPointer
  let key: UnsafeRawBufferPointer
  /// `c`, `u` or `d`.
  let operation: UInt8
  let before: UnsafeRawBufferPointer?
  let after: UnsafeRawBufferPointer?
  let eventID: UnsafeRawBufferPointer
  let type: UnsafeRawBufferPointer
  let version: Int64
  let headers: UnsafeRawBufferPointer?
  let recordedAt: Timestamp
}

/// Indices of an outbox table's columns, for one version of the table.
struct OutboxLayout {
  let relation: PgOutputMessage.Relation
  private let epoch: Int
  private let transaction: Int
  private let sequence: Int
  private let category: Int
  private let key: Int
  private let operation: Int
  private let before: Int
  private let after: Int
  private let eventID: Int
  private let type: Int
  private let version: Int
  private let headers: Int
  private let recordedAt: Int

  struct Mismatch: Error, Equatable, CustomStringConvertible {
    let table: String
    let column: String
    var description: String {
      "\(table) is not an Annals outbox: column \(column) is missing or has another type. Run annals migrate"
    }
  }

  init(_ relation: PgOutputMessage.Relation) throws(Mismatch) {
    self.relation = relation
    func find(_ name: String, _ types: UInt32...) throws(Mismatch) -> Int {
      guard
        let index = relation.columns.firstIndex(where: { $0.name == name && types.contains($0.type) })
      else { throw Mismatch(table: "\(relation.schema).\(relation.name)", column: name) }
      return index
    }
    // Types by OID: bigint 20, integer 23, text 25, "char" 18, json 114, uuid 2950, timestamptz 1184, xid8 5069.
    epoch = try find("epoch", 23)
    transaction = try find("xid", 5069)
    sequence = try find("sequence", 20)
    category = try find("category", 25)
    key = try find("key", 25)
    operation = try find("op", 18)
    before = try find("before", 114)
    after = try find("after", 114)
    eventID = try find("event_id", 2950)
    type = try find("type", 25)
    version = try find("version", 20)
    headers = try find("headers", 114)
    recordedAt = try find("recorded_at", 1184)
  }

  /// Decodes a row. Its columns are in binary form, as requested.
  func row(_ tuple: PgOutputMessage.Tuple) throws(Mismatch) -> OutboxRow {
    func optional(_ index: Int) throws(Mismatch) -> UnsafeRawBufferPointer? {
      guard index < tuple.columns.count else { throw mismatch(index) }
      switch tuple.columns[index] {
      case .null: return nil
      case .binary(let bytes): return bytes
      case .text, .unchanged: throw mismatch(index)
      }
    }
    func required(_ index: Int) throws(Mismatch) -> UnsafeRawBufferPointer {
      guard let bytes = try optional(index) else { throw mismatch(index) }
      return bytes
    }
    func bigint(_ index: Int) throws(Mismatch) -> Int64 {
      let bytes = try required(index)
      guard bytes.count == 8 else { throw mismatch(index) }
      return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
    }
    let number = try required(epoch)
    guard number.count == 4 else { throw mismatch(epoch) }
    let letter = try required(operation)
    let id = try required(eventID)
    guard letter.count == 1, "cud".utf8.contains(letter[0]) else { throw mismatch(operation) }
    guard id.count == 16 else { throw mismatch(eventID) }
    return OutboxRow(
      epoch: Int32(bigEndian: number.loadUnaligned(as: Int32.self)),
      transaction: UInt64(bitPattern: try bigint(transaction)), sequence: try bigint(sequence),
      category: try required(category), key: try required(key),
      operation: letter[0], before: try optional(before), after: try optional(after), eventID: id,
      type: try required(type), version: try bigint(version), headers: try optional(headers),
      recordedAt: Timestamp(microseconds: try bigint(recordedAt) &+ Timestamp.postgresEpoch))
  }

  private func mismatch(_ index: Int) -> Mismatch {
    let name = index < relation.columns.count ? relation.columns[index].name : "\(index)"
    return Mismatch(table: "\(relation.schema).\(relation.name)", column: name)
  }
}
