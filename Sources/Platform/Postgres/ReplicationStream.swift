public import Logging
public import Reactor
public import Time

/// A message of the server while it streams (PostgreSQL documentation, “Streaming Replication Protocol”).
public enum ReplicationMessage {
  /// One message of the output plugin. The bytes are valid only during the call.
  case data(start: LogSequenceNumber, payload: UnsafeRawBufferPointer)
  /// The server has sent everything up to `end`. `wantsReply`: it asks for an immediate reply.
  case keepalive(end: LogSequenceNumber, wantsReply: Bool)
}

/// A logical replication stream of one slot. Use it on its reactor's loop, in the isolation that created it.
public final class ReplicationStream {
  private let session: PostgresSession
  private let slot: String

  /// Starts streaming from the slot's confirmed LSN.
  ///
  /// - Parameters:
  ///   - position: Start here if this is after the confirmed LSN: earlier commits are skipped.
  ///   - options: The plugin's options, as pgoutput takes them.
  public static func start(
    slot: String, from position: LogSequenceNumber = .zero, options: [(name: String, value: String)],
    connecting connection: PostgresOptions,
    on reactor: Reactor, logger: Logger
  ) async throws(PostgresError) -> ReplicationStream {
    let session = try await PostgresSession.connect(connection, replication: true, on: reactor, logger: logger)
    return try await start(slot: slot, from: position, options: options, over: session)
  }

  /// Starts streaming over a replication session, which the stream then owns: a temporary slot belongs to its session.
  public static func start(
    slot: String, from position: LogSequenceNumber = .zero, options: [(name: String, value: String)],
    over session: PostgresSession
  ) async throws(PostgresError) -> ReplicationStream {
    let list = options.map { "\(quotedIdentifier($0.name)) \(quotedLiteral($0.value))" }.joined(separator: ", ")
    do {
      try await session.execute(
        "START_REPLICATION SLOT \(quotedIdentifier(slot)) LOGICAL \(position) (\(list))", name: "START_REPLICATION")
    } catch {
      session.close()
      throw error
    }
    return ReplicationStream(session: session, slot: slot)
  }

  private init(session: PostgresSession, slot: String) { (self.session, self.slot) = (session, slot) }

  public var host: String { session.host }

  /// Waits up to `timeout` and hands over the messages that arrived.
  ///
  /// - Returns: False if nothing arrived in that time.
  public func receive(
    timeout: Duration, _ body: (ReplicationMessage) -> Void
  ) async throws(PostgresError) -> Bool {
    var malformed: String?
    let count = try await session.receiveCopyData("replication", timeout: timeout) { bytes in
      switch bytes.first {
      case UInt8(ascii: "w") where bytes.count >= 25:
        body(.data(start: bytes.lsn(at: 1), payload: UnsafeRawBufferPointer(rebasing: bytes[25...])))
      case UInt8(ascii: "k") where bytes.count >= 18:
        body(.keepalive(end: bytes.lsn(at: 1), wantsReply: bytes[17] == 1))
      default: malformed = "an unknown message of \(bytes.count) bytes"
      }
    }
    if let malformed { throw .connectionLost(host: session.host, reason: malformed) }
    guard let count else {
      try await session.endOfCopy("replication")
      throw .connectionLost(host: session.host, reason: "the server ended the stream of slot \(slot)")
    }
    return count > 0
  }

  /// Confirms an LSN: everything before it is processed, and the server may remove that WAL.
  public func confirm(_ position: LogSequenceNumber, now: Timestamp = .now()) async throws(PostgresError) {
    var message = [UInt8(ascii: "r")]
    for value in [position.value, position.value, position.value] { message.append(bigEndian: value) }
    message.append(bigEndian: UInt64(bitPattern: now.microseconds - Timestamp.postgresEpoch))
    message.append(0)
    try await session.sendCopyData(message)
  }

  /// Confirms a last time and ends the stream gracefully, so that the server records the confirmation. Drops all
  /// messages that still arrive. Waits a few seconds at most, even if the server is still sending a large transaction.
  public func finish(confirming position: LogSequenceNumber) async throws(PostgresError) {
    try await confirm(position)
    try await session.sendEndOfCopy()
    let deadline = ContinuousClock.now + .seconds(2)
    while .now < deadline {
      guard let count = try await session.receiveCopyData("replication", timeout: .seconds(1), { _ in }) else { return }
      if count == 0 { return }
    }
  }

  public func close() { session.close() }
}

/// Quotes a name for a statement that cannot have parameters.
public func quotedIdentifier(_ name: String) -> String {
  "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
}

/// Quotes a text for a statement that cannot have parameters.
public func quotedLiteral(_ text: String) -> String {
  "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
}

extension UnsafeRawBufferPointer {
  fileprivate func lsn(at offset: Int) -> LogSequenceNumber {
    LogSequenceNumber(UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
  }
}

extension [UInt8] {
  fileprivate mutating func append(bigEndian value: UInt64) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}
