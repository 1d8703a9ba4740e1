import JSON
import Postgres
import Schema

/// Parked keys: a message that cannot be delivered, and the later messages of its key (G7). Stored in
/// annals.parked_messages by the relay's name, which the shards of a relay share.
final class ParkingLot {
  /// The reason of a message that only waits (sql/queries/list_parked.sql).
  static let waiting = "an earlier message of its key is parked"

  private let relay: String
  private let session: PostgresSession
  private(set) var keys: Set<MessageBatch.Key> = []

  static let exists = Query("has_parking", Schema.hasParking)
  static let lock = Query("lock_parked", Schema.lockParked)
  static let unlock = Query("unlock_parked", Schema.unlockParked)
  static let park = Query("park_message", Schema.parkMessage)
  static let parkedKeys = Query("parked_keys", Schema.parkedKeys)
  static let parkedOfKey = Query("parked_of_key", Schema.parkedOfKey)
  static let settle = Query("settle_parked", Schema.settleParked)
  static let refuse = Query("refuse_parked", Schema.refuseParked)

  private init(relay: String, session: PostgresSession) { (self.relay, self.session) = (relay, session) }

  /// Opens the lot of a relay. The lot owns the session and closes it.
  ///
  /// - Returns: nil if the database has no table for it. A message that cannot be delivered then stops the relay, and
  ///   the caller still owns the session.
  static func open(relay: String, _ session: PostgresSession) async throws -> ParkingLot? {
    guard try await session.query(exists).first?.get(0, as: Bool.self) == true else { return nil }
    let lot = ParkingLot(relay: relay, session: session)
    _ = try await lot.review()
    return lot
  }

  func close() { session.close() }

  func contains(_ key: MessageBatch.Key) -> Bool { keys.contains(key) }

  enum Outcome: String {
    case parked
    /// The operator, or a retry, has decided about this very message: it is not sent again.
    case settled
    /// The operator has settled the earlier message meanwhile: this one may be sent.
    case free
  }

  /// The key waits from now on; its messages are stored later, by `park`.
  func expect(_ key: MessageBatch.Key) { keys.insert(key) }

  /// Locks a key for sending: the shards of a relay share its parked messages. False while another one sends them.
  func lock(_ key: MessageBatch.Key) async throws -> Bool {
    try await session.query(Self.lock, parameters(key)).first?.get(0) ?? false
  }

  func unlock(_ key: MessageBatch.Key) async throws { try await session.query(Self.unlock, parameters(key)) }

  private func parameters(_ key: MessageBatch.Key) -> [Parameter] {
    [.text(relay), .text(key.topic), key.key.map { .bytes($0) } ?? .null]
  }

  /// Stores a message instead of sending it. Its key is parked from now on.
  ///
  /// - Parameter reason: Why it cannot be sent; nil: an earlier message of its key is parked.
  func park(
    _ message: MessageBatch.Message, of batch: MessageBatch, _ key: MessageBatch.Key, reason: String?
  ) async throws -> Outcome {
    var headers = JSONWriter()
    headers.array { writer in
      for header in batch.headers[message.headers] {
        writer.element()
        writer.array { writer in
          writer.element()
          writer.string(batch.text(header.name))
          writer.element()
          if let value = header.value { writer.string(batch.text(value)) } else { writer.null() }
        }
      }
    }
    let row = try await session.query(
      Self.park,
      [
        .text(relay), .text(key.topic), message.partition.map { .integer($0) } ?? .null,
        key.key.map { .bytes($0) } ?? .null, message.value.map { .bytes(batch.bytes($0)) } ?? .null,
        .jsonb(headers.bytes), message.timestamp.map { .bigint($0) } ?? .null,
        .bigint(message.source.place), .text(message.source.description), .integer(message.ordinal),
        .text(reason ?? Self.waiting), .bool(reason == nil),
      ]
    ).first
    guard let outcome = Outcome(rawValue: try row?.get(0, as: String.self) ?? "") else {
      throw ReplicationError.outOfPlace("no answer about a parked message")
    }
    switch outcome {
    case .parked: keys.insert(key)
    case .settled: break
    case .free: keys.remove(key)
    }
    return outcome
  }

  /// Reloads the parked keys, which an operator may have changed.
  ///
  /// - Returns: Keys whose messages the operator asked to send.
  func review() async throws -> [MessageBatch.Key] {
    var requested: [MessageBatch.Key] = []
    var found: Set<MessageBatch.Key> = []
    for row in try await session.query(Self.parkedKeys, [.text(relay)]) {
      let key = MessageBatch.Key(topic: try row.get(0), key: try row.optional(1))
      found.insert(key)
      if try row.get(2, as: Bool.self) { requested.append(key) }
    }
    keys = found
    return requested
  }

  struct Parked {
    let id: Int64
    let batch: MessageBatch
  }

  /// The first thousand messages of a key, in order, each as a batch of its own.
  func messages(of key: MessageBatch.Key, transaction: Int) async throws -> [Parked] {
    let rows = try await session.query(
      Self.parkedOfKey, [.text(relay), .text(key.topic), key.key.map { .bytes($0) } ?? .null])
    var messages: [Parked] = []
    for row in rows {
      var batch = MessageBatch()
      let value = try row.optional(2, as: [UInt8].self)
      let headers = try JSONValue(parsing: try row.get(3, as: JSONText.self).bytes)
      for header in headers.array ?? [] {
        guard let pair = header.array, pair.count == 2, let name = pair[0].string else { continue }
        batch.header(name, pair[1].string.map { text in batch.copied(text.utf8) })
      }
      batch.add(
        topic: key.topic, partition: try row.optional(1, as: Int.self).map { Int32($0) },
        timestamp: try row.optional(4), key: key.key.map { batch.copied($0) }, value: value.map { batch.copied($0) },
        transaction: transaction)
      messages.append(Parked(id: try row.get(0), batch: batch))
    }
    return messages
  }

  func delivered(_ id: Int64) async throws { try await session.query(Self.settle, [.bigint(id), .text("delivered")]) }

  /// Records that a message was refused again; its key stays parked.
  func refused(_ id: Int64, reason: String) async throws {
    try await session.query(Self.refuse, [.bigint(id), .text(reason)])
  }
}
