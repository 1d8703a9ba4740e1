/// The body of a streamed answer between its producer and the client: a queue that is bounded in bytes.
///
/// A pure state machine. Its owner wakes the producer when `hasRoom` becomes true.
struct Download {
  /// Bytes from which on the producer waits.
  static let highWater = 128 << 10
  static let lowWater = 64 << 10

  private var chunks: [[UInt8]] = []
  private var first = 0
  /// Bytes of the first chunk that are sent.
  private var offset = 0
  /// Bytes that wait to be sent.
  private(set) var waiting = 0
  /// Bytes handed over to the connection.
  private(set) var sent = 0
  private(set) var isWritten = false
  private(set) var hasFailed = false

  var isFull: Bool { waiting >= Self.highWater }
  var hasRoom: Bool { waiting <= Self.lowWater }

  mutating func append(_ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    chunks.append(bytes)
    waiting += bytes.count
  }

  /// The producer has ended.
  mutating func end(failed: Bool) { (isWritten, hasFailed) = (true, failed) }

  /// Moves bytes to the connection. Chunks that are sent are freed at once.
  mutating func take(into space: UnsafeMutableRawBufferPointer) -> Int {
    var count = 0
    while count < space.count, first < chunks.count {
      let left = chunks[first].count - offset
      let taken = min(left, space.count - count)
      chunks[first].withUnsafeBytes {
        UnsafeMutableRawBufferPointer(rebasing: space[count...])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + taken]))
      }
      count += taken
      if taken == left {
        chunks[first] = []
        (first, offset) = (first + 1, 0)
      } else {
        offset += taken
      }
    }
    if first == chunks.count { (chunks, first) = ([], 0) }
    if first > 32 {
      chunks.removeFirst(first)
      first = 0
    }
    waiting -= count
    sent += count
    return count
  }
}
