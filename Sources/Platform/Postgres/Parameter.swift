public import Identifiers
public import Time

/// A value for a statement, sent in Postgres' binary form. It must have the type that the server infers.
public enum Parameter: Sendable {
  case null
  case bool(Bool)
  case integer(Int32)
  case bigint(Int64)
  case double(Double)
  case text(String)
  case bytes([UInt8])
  case uuid(UUID)
  /// A JSON text, kept as it is.
  case json([UInt8])
  /// A JSON text.
  case jsonb([UInt8])
  case timestamp(Timestamp)
  case lsn(LogSequenceNumber)
  case xid8(TransactionID)
  case integers([Int32])
  case bigints([Int64?])
  case texts([String?])
  case uuids([UUID])
  case jsons([[UInt8]?])

  /// About how many bytes of memory it holds.
  var byteCount: Int {
    switch self {
    case .null, .bool, .integer, .bigint, .double, .uuid, .timestamp, .lsn, .xid8: 16
    case .text(let text): text.utf8.count
    case .bytes(let bytes), .json(let bytes), .jsonb(let bytes): bytes.count
    case .integers(let values): values.count * 4
    case .bigints(let values): values.count * 8
    case .texts(let texts): texts.reduce(0) { $0 + ($1?.utf8.count ?? 0) }
    case .uuids(let values): values.count * 16
    case .jsons(let values): values.reduce(0) { $0 + ($1?.count ?? 0) }
    }
  }
}

/// Parameters encoded one after another, in the form that libpq expects.
struct EncodedParameters {
  private(set) var bytes: [UInt8] = []
  /// Start and length of each value; nil is null.
  private var places: [(start: Int, count: Int)?] = []

  init(_ parameters: [Parameter]) {
    places.reserveCapacity(parameters.count)
    for parameter in parameters {
      if case .null = parameter {
        places.append(nil)
      } else {
        let start = bytes.count
        append(parameter)
        places.append((start, bytes.count - start))
      }
    }
    bytes.append(0)  // so that the base address of an empty last value exists
  }

  /// Lends the arguments of PQsendQueryPrepared.
  func withPointers<R>(
    _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> R
  ) -> R {
    bytes.withUnsafeBytes { buffer in
      let base = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      let values = places.map { $0.map { base + $0.start } }
      let lengths = places.map { Int32($0?.count ?? 0) }
      let formats = [Int32](repeating: 1, count: places.count)
      return body(Int32(places.count), values, lengths, formats)
    }
  }

  private mutating func append(_ parameter: Parameter) {
    switch parameter {
    case .null: break
    case .bool(let value): bytes.append(value ? 1 : 0)
    case .integer(let value): append(value)
    case .bigint(let value): append(value)
    case .double(let value): append(value.bitPattern)
    case .text(let value): bytes.append(contentsOf: value.utf8)
    case .bytes(let value), .json(let value): bytes.append(contentsOf: value)
    case .uuid(let value): append(value)
    case .jsonb(let value): appendJSONB(value)
    case .timestamp(let value): append(value.microseconds - Timestamp.postgresEpoch)
    case .lsn(let value): append(value.value)
    case .xid8(let value): append(value.value)
    case .integers(let values): appendArray(of: 23, values) { $0.append($1) }
    case .bigints(let values): appendArray(of: 20, values) { $0.append($1) }
    case .texts(let values): appendArray(of: 25, values) { $0.bytes.append(contentsOf: $1.utf8) }
    case .uuids(let values): appendArray(of: 2950, values) { $0.append($1) }
    case .jsons(let values): appendArray(of: 114, values) { $0.bytes.append(contentsOf: $1) }
    }
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  private mutating func append(_ value: UUID) {
    append(value.high)
    append(value.low)
  }

  /// Version 1 of jsonb's binary form: the version, then the text.
  private mutating func appendJSONB(_ text: [UInt8]) {
    bytes.append(1)
    bytes.append(contentsOf: text)
  }

  /// One dimension, counted from 1: dimensions, whether there are nulls, the element's type, size, lower bound.
  private mutating func appendArray<Element>(
    of type: Int32, _ values: [Element], _ append: (inout EncodedParameters, Element) -> Void
  ) {
    appendArray(of: type, values.map(Optional.some), append)
  }

  private mutating func appendArray<Element>(
    of type: Int32, _ values: [Element?], _ append: (inout EncodedParameters, Element) -> Void
  ) {
    self.append(Int32(values.isEmpty ? 0 : 1))
    self.append(Int32(values.contains { $0 == nil } ? 1 : 0))
    self.append(type)
    guard !values.isEmpty else { return }
    self.append(Int32(values.count))
    self.append(Int32(1))
    for value in values {
      guard let value else {
        self.append(Int32(-1))
        continue
      }
      let lengthAt = bytes.count
      self.append(Int32(0))
      append(&self, value)
      let length = UInt32(bytes.count - lengthAt - 4)
      for index in 0..<4 { bytes[lengthAt + index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(index))) }
    }
  }
}

extension Timestamp {
  /// 2000-01-01, from which Postgres counts, in microseconds since 1970.
  public static let postgresEpoch: Int64 = 946_684_800_000_000
}
