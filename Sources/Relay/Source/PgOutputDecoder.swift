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
    return try decoder.message()
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
    case "U", "D": return .change(relation: try integer(UInt32.self, "a relation id"))
    case "T": return .change(relation: nil)
    case "O", "Y", "M": return .other
    default: throw PgOutputError(expected: "a message type of protocol 1", offset: 0)
    }
  }

  private mutating func relation() throws(PgOutputError) -> PgOutputMessage.Relation {
    let id = try integer(UInt32.self, "a relation id")
    let schema = try string()
    let name = try string()
    _ = try integer(UInt8.self, "a replica identity")
    let count = try integer(UInt16.self, "a number of columns")
    var columns: [PgOutputMessage.Relation.Column] = []
    for _ in 0..<count {
      _ = try integer(UInt8.self, "a column's flags")
      let name = try string()
      let type = try integer(UInt32.self, "a column's type")
      _ = try integer(UInt32.self, "a column's type modifier")
      columns.append(PgOutputMessage.Relation.Column(name: name, type: type))
    }
    // pg_catalog comes as an empty name.
    return PgOutputMessage.Relation(
      id: id, schema: schema.isEmpty ? "pg_catalog" : schema, name: name, columns: columns)
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
