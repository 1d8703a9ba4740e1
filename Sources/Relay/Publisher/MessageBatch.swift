import Identifiers
import JSON
import Time

/// Messages in the order in which they are to be sent, in one buffer.
struct MessageBatch {
  struct Message {
    let topic: String
    let key: Range<Int>
    /// nil: a tombstone.
    let value: Range<Int>?
    let eventID: UUID
    let type: Range<Int>
    let version: Int64
    let headers: Range<Int>?
    let transaction: Int
  }

  private(set) var messages: [Message] = []
  private var writer = JSONWriter(reserving: 64 << 10)

  var isEmpty: Bool { messages.isEmpty }
  var byteCount: Int { writer.bytes.count }

  mutating func append(
    _ row: OutboxRow, topic: String, source: ChangeSource, encoder: ChangeEventEncoder, transaction: Int,
    at now: Timestamp
  ) {
    let key = written { encoder.key(row.key, into: &$0) }
    let value = written { encoder.value(row, source, at: now, into: &$0) }
    let type = written { $0.splice(row.type) }
    let headers = row.headers.map { headers in written { $0.splice(headers) } }
    let id = UUID(
      high: UInt64(bigEndian: row.eventID.loadUnaligned(as: UInt64.self)),
      low: UInt64(bigEndian: row.eventID.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    func message(_ value: Range<Int>?) -> Message {
      Message(
        topic: topic, key: key, value: value, eventID: id, type: type, version: row.version, headers: headers,
        transaction: transaction)
    }
    messages.append(message(value))
    // After a deletion, a message without a value lets a compacted topic forget the key.
    if row.operation == UInt8(ascii: "d") { messages.append(message(nil)) }
  }

  private mutating func written(_ body: (inout JSONWriter) -> Void) -> Range<Int> {
    let start = writer.bytes.count
    body(&writer)
    return start..<writer.bytes.count
  }

  func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    writer.bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  func bytes(_ range: Range<Int>) -> [UInt8] { Array(writer.bytes[range]) }
}
