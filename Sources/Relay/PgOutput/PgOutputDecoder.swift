import Postgres
import Time

/// Reads pgoutput messages. Malformed bytes are an error, never a trap.
struct PgOutputDecoder {
  private var bytes: UnsafeRawBufferPointer
  private var offset = 0

  private init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Decodes one message.
  static func decode(_ bytes: UnsafeRawBufferPointer) throws(PgOutputError) -> PgOutputMessage {
    var decoder = PgOutputDecoder(bytes)
    let message = try decoder.message()
    guard decoder.offset == bytes.count else { throw decoder.failure("the message's end") }
    return message
  }

  private mutating func message() throws(PgOutputError) -> PgOutputMessage {
    let kind = try integer(UInt8.self, "a message type")
    switch Unicode.Scalar(kind) {
    case "B":
      let lsn = try lsn()
      let time = try timestamp()
      return .begin(finalLSN: lsn, committedAt: time, transaction: try integer(UInt32.self, "a transaction id"))
    case "C":
      _ = try integer(UInt8.self, "flags")
      let lsn = try lsn()
      let end = try self.lsn()
      return .commit(lsn: lsn, end: end, committedAt: try timestamp())
    case "R": return .relation(try relation())
    case "I":
      let relation = try integer(UInt32.self, "a relation id")
      guard try integer(UInt8.self, "N") == UInt8(ascii: "N") else { throw failure("N") }
      return .insert(relation: relation, row: try tuple())
    case "U": return try update()
    case "D":
      let relation = try integer(UInt32.self, "a relation id")
      guard let old = try oldRow(try integer(UInt8.self, "K or O")) else { throw failure("K or O") }
      return .delete(relation: relation, old: old)
    case "T": return try truncate()
    case "O": return .origin(lsn: try lsn(), name: try string())
    case "Y":
      _ = try integer(UInt32.self, "a type id")
      _ = try string()
      _ = try string()
      return .type
    case "M":
      let flags = try integer(UInt8.self, "flags")
      let lsn = try lsn()
      return .message(isTransactional: flags & 1 == 1, lsn: lsn, prefix: try string(), content: try value())
    case "S":
      let transaction = try integer(UInt32.self, "a transaction id")
      return .streamStart(transaction: transaction, isFirst: try integer(UInt8.self, "a flag") == 1)
    case "E": return .streamStop
    case "c":
      let transaction = try integer(UInt32.self, "a transaction id")
      _ = try integer(UInt8.self, "flags")
      let lsn = try lsn()
      let end = try self.lsn()
      return .streamCommit(transaction: transaction, lsn: lsn, end: end, committedAt: try timestamp())
    case "A":
      let transaction = try integer(UInt32.self, "a transaction id")
      return .streamAbort(
        transaction: transaction, subtransaction: try integer(UInt32.self, "a subtransaction's id"))
    default: throw PgOutputError(expected: "a message type of protocol 2", offset: 0)
    }
  }

  private mutating func update() throws(PgOutputError) -> PgOutputMessage {
    let relation = try integer(UInt32.self, "a relation id")
    var letter = try integer(UInt8.self, "K, O or N")
    let old = try oldRow(letter)
    if old != nil { letter = try integer(UInt8.self, "N") }
    guard letter == UInt8(ascii: "N") else { throw failure("N") }
    return .update(relation: relation, old: old, row: try tuple())
  }

  private mutating func oldRow(_ letter: UInt8) throws(PgOutputError) -> PgOutputMessage.OldRow? {
    switch Unicode.Scalar(letter) {
    case "K": PgOutputMessage.OldRow(isKeyOnly: true, row: try tuple())
    case "O": PgOutputMessage.OldRow(isKeyOnly: false, row: try tuple())
    default: nil
    }
  }

  private mutating func truncate() throws(PgOutputError) -> PgOutputMessage {
    let count = try integer(Int32.self, "a number of relations")
    let flags = try integer(UInt8.self, "flags")
    guard count >= 0, Int(count) * 4 <= bytes.count - offset else { throw failure("\(count) relations") }
    var relations: [UInt32] = []
    for _ in 0..<count { relations.append(try integer(UInt32.self, "a relation id")) }
    return .truncate(relations: relations, cascades: flags & 1 != 0, restartsIdentity: flags & 2 != 0)
  }

  private mutating func relation() throws(PgOutputError) -> PgOutputMessage.Relation {
    let id = try integer(UInt32.self, "a relation id")
    let schema = try string()
    let name = try string()
    let identity = try integer(UInt8.self, "a replica identity")
    let count = try integer(UInt16.self, "a number of columns")
    var columns: [PgOutputMessage.Relation.Column] = []
    for _ in 0..<count {
      let flags = try integer(UInt8.self, "a column's flags")
      let name = try string()
      let type = try integer(UInt32.self, "a column's type")
      let modifier = try integer(Int32.self, "a column's type modifier")
      columns.append(.init(name: name, type: type, modifier: modifier, isKey: flags & 1 != 0))
    }
    // pgoutput sends an empty name for pg_catalog.
    return PgOutputMessage.Relation(
      id: id, schema: schema.isEmpty ? "pg_catalog" : schema, name: name, identity: identity, columns: columns)
  }

  private mutating func tuple() throws(PgOutputError) -> PgOutputMessage.Tuple {
    let count = try integer(UInt16.self, "a number of columns")
    var columns: [PgOutputMessage.Tuple.Column] = []
    columns.reserveCapacity(Int(count))
    for _ in 0..<count {
      switch Unicode.Scalar(try integer(UInt8.self, "a column's form")) {
      case "n": columns.append(.null)
      case "u": columns.append(.unchanged)
      case "t": columns.append(.text(try value()))
      case "b": columns.append(.binary(try value()))
      default: throw failure("n, u, t or b")
      }
    }
    return PgOutputMessage.Tuple(columns: columns)
  }

  private mutating func value() throws(PgOutputError) -> UnsafeRawBufferPointer {
    let count = Int(try integer(Int32.self, "a length"))
    guard count >= 0, count <= bytes.count - offset else { throw failure("\(count) bytes") }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  private mutating func string() throws(PgOutputError) -> String {
    guard let end = bytes[offset...].firstIndex(of: 0) else { throw failure("a terminated string") }
    defer { offset = end + 1 }
    guard let text = String(validating: bytes[offset..<end], as: UTF8.self) else { throw failure("UTF-8") }
    return text
  }

  private mutating func lsn() throws(PgOutputError) -> LogSequenceNumber {
    LogSequenceNumber(try integer(UInt64.self, "an LSN"))
  }

  private mutating func timestamp() throws(PgOutputError) -> Timestamp {
    let value = try integer(Int64.self, "a time")
    let (sum, overflow) = value.addingReportingOverflow(Timestamp.postgresEpoch)
    guard !overflow else { throw failure("a time") }
    return Timestamp(microseconds: sum)
  }

  private mutating func integer<Value: FixedWidthInteger>(
    _ type: Value.Type, _ expected: String
  ) throws(PgOutputError) -> Value {
    let count = Value.bitWidth / 8
    guard bytes.count - offset >= count else { throw failure(expected) }
    defer { offset += count }
    return Value(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
  }

  private func failure(_ expected: String) -> PgOutputError { PgOutputError(expected: expected, offset: offset) }
}
