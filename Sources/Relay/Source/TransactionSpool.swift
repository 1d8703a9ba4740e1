import Glibc
import Postgres
import Reactor

/// The messages of one transaction in progress, in order. A record is the LSN of a message, its length, and its bytes
/// in the form of a transaction that is not streamed.
final class TransactionSpool {
  private let transaction: UInt32
  private let directory: String
  /// Records that are not on disk.
  private(set) var buffer: [UInt8] = []
  private var file: SpoolFile?
  /// Offset of the first record of each subtransaction.
  private var starts: [UInt32: Int] = [:]

  static let blockSize = 1 << 20
  private static let header = 12

  init(_ transaction: UInt32, in directory: String) { (self.transaction, self.directory) = (transaction, directory) }

  var bytesInMemory: Int { buffer.count }
  var byteCount: Int { (file?.count ?? 0) + buffer.count }

  /// Appends a message. In a streamed transaction, every message except an origin has the subtransaction's id after its
  /// first byte; the record omits it.
  func append(_ payload: UnsafeRawBufferPointer, at start: LogSequenceNumber) throws {
    guard let kind = payload.first else { throw ReplicationError.outOfPlace("an empty message") }
    var rest = payload.dropFirst()
    if kind != UInt8(ascii: "O") {
      guard rest.count >= 4 else { throw PgOutputError(expected: "a transaction id", offset: 1) }
      let subtransaction = UInt32(bigEndian: payload.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
      rest = rest.dropFirst(4)
      if subtransaction != transaction, starts[subtransaction] == nil { starts[subtransaction] = byteCount }
    }
    withUnsafeBytes(of: start.value) { buffer.append(contentsOf: $0) }
    withUnsafeBytes(of: UInt32(rest.count + 1)) { buffer.append(contentsOf: $0) }
    buffer.append(kind)
    buffer.append(contentsOf: rest)
  }

  /// Discards the records of a subtransaction and all records after them, which also belong to it.
  func abort(_ subtransaction: UInt32) throws {
    guard let start = starts[subtransaction] else { return }
    starts = starts.filter { $0.value < start }
    let written = file?.count ?? 0
    if start >= written {
      buffer.removeLast(buffer.count - (start - written))
    } else {
      try file?.truncate(to: start)
      buffer.removeAll()
    }
  }

  func spill() async throws {
    let bytes = buffer
    buffer = []
    let file = try self.file ?? SpoolFile(in: directory)
    self.file = file
    try await Reactor.offLoop { () throws(SpoolFailed) in try file.append(bytes) }
  }

  /// Whole records from `offset` on, about a megabyte of them; empty at the end.
  func block(at offset: Int) async throws -> [UInt8] {
    let written = file?.count ?? 0
    guard let file, offset < written else {
      return offset == written ? buffer : []
    }
    // At least one record, however long it is.
    let first = try await file.read(at: offset, upTo: Self.blockSize)
    let length = first.count >= Self.header ? Self.header + Self.length(first, at: 0) : 0
    let bytes = length > first.count ? try await file.read(at: offset, upTo: length) : first
    var end = 0
    while end + Self.header <= bytes.count {
      let next = end + Self.header + Self.length(bytes, at: end)
      if next > bytes.count { break }
      end = next
    }
    guard end > 0 else { throw SpoolFailed(directory: directory, reason: "the spool file is shorter than expected") }
    return Array(bytes.prefix(end))
  }

  /// Lends the record at `index` of a block, and moves `index` to the next one.
  static func withRecord<R>(
    of block: [UInt8], at index: inout Int, _ body: (LogSequenceNumber, UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R {
    let start = index + header
    let end = start + length(block, at: index)
    let position = block.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index, as: UInt64.self) }
    index = end
    return try block.withUnsafeBytes {
      try body(LogSequenceNumber(position), UnsafeRawBufferPointer(rebasing: $0[start..<end]))
    }
  }

  private static func length(_ block: [UInt8], at index: Int) -> Int {
    Int(block.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index + 8, as: UInt32.self) })
  }
}

/// An unlinked file: it disappears with the process, however the process ends. One task at a time uses it.
private final class SpoolFile: @unchecked Sendable {
  private let descriptor: Int32
  private let directory: String
  private(set) var count = 0

  init(in directory: String) throws(SpoolFailed) {
    self.directory = directory
    var path = Array("\(directory)/annals-spool-XXXXXX".utf8CString)
    descriptor = mkstemp(&path)
    guard descriptor >= 0 else { throw SpoolFailed(directory: directory, reason: String(cString: strerror(errno))) }
    unlink(path)
  }

  deinit { close(descriptor) }

  func append(_ bytes: [UInt8]) throws(SpoolFailed) {
    var done = 0
    while done < bytes.count {
      let written = bytes.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress! + done, $0.count - done, off_t(count + done))
      }
      guard written > 0 || errno == EINTR else { throw failure() }
      done += max(0, written)
    }
    count += done
  }

  func truncate(to size: Int) throws(SpoolFailed) {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure() }
    count = size
  }

  func read(at offset: Int, upTo size: Int) async throws(SpoolFailed) -> [UInt8] {
    let size = min(size, count - offset)
    return try await Reactor.offLoop { () throws(SpoolFailed) in
      var done = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
        while done < size {
          let got = pread(self.descriptor, buffer.baseAddress! + done, size - done, off_t(offset + done))
          guard got > 0 || (got < 0 && errno == EINTR) else { break }
          done += max(0, got)
        }
        initialized = done
      }
      guard done == size else { throw self.failure() }
      return bytes
    }
  }

  private func failure() -> SpoolFailed {
    SpoolFailed(directory: directory, reason: String(cString: strerror(errno)))
  }
}

/// A large transaction cannot be kept on disk. Nothing is lost: the slot retains it, and the server sends it again.
struct SpoolFailed: Error, CustomStringConvertible {
  let directory: String
  let reason: String
  var description: String {
    "a large transaction cannot be kept in \(directory): \(reason). Free disk space, or set relay.spool-directory"
  }
}
