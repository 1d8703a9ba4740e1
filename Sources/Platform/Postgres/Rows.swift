import CLibpq
public import Identifiers
public import Time

/// The rows that a statement returned, in Postgres' binary form, copied out of libpq's result.
public struct Rows: Sendable, RandomAccessCollection {
  private let columns: Int
  private let bytes: [UInt8]
  private let places: [(start: Int, count: Int)]
  /// Rows inserted, updated, deleted or selected.
  public let affected: Int

  init(copying result: OpaquePointer) {
    let rows = Int(PQntuples(result))
    columns = Int(PQnfields(result))
    var bytes: [UInt8] = []
    var places: [(start: Int, count: Int)] = []
    places.reserveCapacity(rows * columns)
    for row in 0..<Int32(rows) {
      for column in 0..<Int32(columns) {
        if PQgetisnull(result, row, column) == 1 {
          places.append((0, -1))
          continue
        }
        let count = Int(PQgetlength(result, row, column))
        places.append((bytes.count, count))
        bytes.append(contentsOf: UnsafeRawBufferPointer(start: PQgetvalue(result, row, column), count: count))
      }
    }
    (self.bytes, self.places) = (bytes, places)
    affected = Int(String(cString: PQcmdTuples(result))) ?? rows
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { columns == 0 ? 0 : places.count / columns }
  public subscript(index: Int) -> Row { Row(rows: self, index: index) }

  /// One row: columns are counted from 0.
  public struct Row: Sendable {
    let rows: Rows
    let index: Int

    public var columnCount: Int { rows.columns }

    public func isNull(_ column: Int) -> Bool { rows.places[index * rows.columns + column].count < 0 }

    /// Returns the column's value. Throws if it is null or has another type.
    public func get<Value: PostgresDecodable>(
      _ column: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value {
      guard column < rows.columns else { throw .decoding(column: column, expected: "there") }
      let (start, count) = rows.places[index * rows.columns + column]
      guard count >= 0, let value = rows.bytes.withUnsafeBytes({ Value(binary: $0[start..<start + count]) }) else {
        throw .decoding(column: column, expected: "\(Value.self)")
      }
      return value
    }

    /// Returns nil if the column is null.
    public func optional<Value: PostgresDecodable>(
      _ column: Int, as type: Value.Type = Value.self
    ) throws(PostgresError) -> Value? {
      isNull(column) ? nil : try get(column)
    }
  }
}

/// A type that can be read from the binary form of a column.
public protocol PostgresDecodable {
  init?(binary: Slice<UnsafeRawBufferPointer>)
}

extension FixedWidthInteger {
  /// Big-endian bytes, as many as the type has.
  init?(bigEndianBytes bytes: Slice<UnsafeRawBufferPointer>) {
    guard bytes.count == Self.bitWidth / 8 else { return nil }
    self = Self(bigEndian: UnsafeRawBufferPointer(rebasing: bytes).loadUnaligned(as: Self.self))
  }
}

extension Int64: PostgresDecodable {
  /// Reads smallint, integer and bigint.
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    switch binary.count {
    case 8:
      guard let value = Int64(bigEndianBytes: binary) else { return nil }
      self = value
    case 4:
      guard let value = Int32(bigEndianBytes: binary) else { return nil }
      self.init(value)
    case 2:
      guard let value = Int16(bigEndianBytes: binary) else { return nil }
      self.init(value)
    default: return nil
    }
  }
}

extension Int: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard let value = Int64(binary: binary) else { return nil }
    self.init(value)
  }
}

extension Double: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard let bits = UInt64(bigEndianBytes: binary) else { return nil }
    self.init(bitPattern: bits)
  }
}

extension Bool: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard binary.count == 1 else { return nil }
    self = binary.first == 1
  }
}

extension String: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    self.init(validating: binary, as: UTF8.self)
  }
}

extension [UInt8]: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) { self.init(binary) }
}

/// An array of bigint with one dimension, or none, and without nulls.
public struct Bigints: PostgresDecodable {
  public let values: [Int64]

  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    let bytes = UnsafeRawBufferPointer(rebasing: binary)
    func integer<Value: FixedWidthInteger>(_ offset: Int, _ type: Value.Type) -> Value {
      Value(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
    // Dimensions, whether there are nulls, the element's type; then size and lower bound; then length and value of each.
    guard bytes.count >= 12, integer(8, UInt32.self) == 20 else { return nil }
    guard integer(0, Int32.self) == 1 else {
      values = []
      return
    }
    guard bytes.count >= 20, case let count = Int(integer(12, Int32.self)), count >= 0, bytes.count == 20 + count * 12
    else { return nil }
    values = (0..<count).map { integer(24 + $0 * 12, Int64.self) }
  }
}

/// An array of text with one dimension, or none, and without nulls.
public struct Texts: PostgresDecodable {
  public let values: [String]

  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    let bytes = UnsafeRawBufferPointer(rebasing: binary)
    func integer(_ offset: Int) -> Int {
      Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
    }
    guard bytes.count >= 12, integer(8) == 25 else { return nil }
    var values: [String] = []
    if integer(0) == 1 {
      guard bytes.count >= 20 else { return nil }
      var offset = 20
      for _ in 0..<integer(12) {
        guard offset + 4 <= bytes.count, case let length = integer(offset), length >= 0,
          offset + 4 + length <= bytes.count
        else { return nil }
        values.append(String(decoding: bytes[offset + 4..<offset + 4 + length], as: UTF8.self))
        offset += 4 + length
      }
    }
    self.values = values
  }
}

extension UUID: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard binary.count == 16, let high = UInt64(bigEndianBytes: binary.prefix(8)),
      let low = UInt64(bigEndianBytes: binary.suffix(8))
    else { return nil }
    self.init(high: high, low: low)
  }
}

extension Timestamp: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard let value = Int64(bigEndianBytes: binary) else { return nil }
    self.init(microseconds: value + Timestamp.postgresEpoch)
  }
}

extension LogSequenceNumber: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard let value = UInt64(bigEndianBytes: binary) else { return nil }
    self.init(value)
  }
}

extension TransactionID: PostgresDecodable {
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    guard let value = UInt64(bigEndianBytes: binary) else { return nil }
    self.init(value)
  }
}

/// The text of a json or jsonb column.
public struct JSONText: PostgresDecodable, Equatable, Sendable {
  public let bytes: [UInt8]

  /// jsonb's binary form starts with its version, 1. json's form is the text, which never starts with that byte.
  public init?(binary: Slice<UnsafeRawBufferPointer>) {
    bytes = Array(binary.first == 1 ? binary.dropFirst() : binary)
  }
}
