/// Reads the rows of a `copy … to stdout (format binary)` (PostgreSQL documentation, “COPY”, “Binary Format”).
public struct BinaryCopy: Sendable {
  public struct Malformed: Error, Equatable, CustomStringConvertible {
    public let description: String
  }

  private static let signature: [UInt8] = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00]
  private var hasHeader = false

  public init() {}

  /// Reads one message. Its columns lie in `message`; nil is null.
  ///
  /// - Parameter columns: Replaced; its memory is used again.
  /// - Returns: False at the end of the copy.
  public mutating func row(
    _ message: UnsafeRawBufferPointer, into columns: inout [UnsafeRawBufferPointer?]
  ) throws(Malformed) -> Bool {
    columns.removeAll(keepingCapacity: true)
    var offset = 0
    if !hasHeader {
      guard message.count >= 19, message.prefix(11).elementsEqual(Self.signature) else {
        throw Malformed(description: "a binary copy begins with its signature")
      }
      hasHeader = true
      offset = 19
    }
    guard offset + 2 <= message.count else { throw Malformed(description: "a row has a number of columns") }
    let count = Int16(bigEndian: message.loadUnaligned(fromByteOffset: offset, as: Int16.self))
    offset += 2
    guard count >= 0 else { return false }
    for _ in 0..<count {
      guard offset + 4 <= message.count else { throw Malformed(description: "a column has a length") }
      let length = Int(Int32(bigEndian: message.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
      offset += 4
      guard length >= 0 else {
        columns.append(nil)
        continue
      }
      guard offset + length <= message.count else { throw Malformed(description: "a column of \(length) bytes") }
      columns.append(UnsafeRawBufferPointer(rebasing: message[offset..<offset + length]))
      offset += length
    }
    return true
  }
}
