public import Postgres
import Schema

/// An operator's view of parked keys, and the possible requests. Works wherever the relay runs.
public struct ParkedMessages {
  private let session: PostgresSession

  public init(_ session: PostgresSession) { self.session = session }

  /// A key and its first message.
  public struct ParkedKey: Sendable {
    public let id: Int64
    public let relay: String
    public let topic: String
    public let key: String
    public let count: Int
    public let since: String
    public let reason: String
    public let isRequested: Bool
  }

  public enum Request: String, CaseIterable, Sendable {
    /// Send the key's messages in their order.
    case retry
    /// Skip this message and send the others of its key.
    case skip
    /// Send none of the key's messages.
    case drop
  }

  /// Parked keys, the longest parked first.
  public func list() async throws -> [ParkedKey] {
    var entries: [ParkedKey] = []
    for row in try await session.query(Query("list_parked", Schema.listParked)) {
      entries.append(
        ParkedKey(
          id: try row.get(0), relay: try row.get(1), topic: try row.get(2), key: try row.get(3), count: try row.get(4),
          since: try row.get(5), reason: try row.get(6), isRequested: try row.get(7)))
    }
    return entries
  }

  /// Same as `list()`, but empty if the database has no table for parked messages.
  public func listIfThere() async throws -> [ParkedKey] {
    let exists = try await session.query(ParkingLot.exists).first?.get(0, as: Bool.self) ?? false
    return exists ? try await list() : []
  }

  /// Everything about one message, as JSON; nil if no message has this id.
  public func show(_ id: Int64) async throws -> String? {
    try await session.query(Query("show_parked", Schema.showParked), [.bigint(id)]).first?.get(0)
  }

  /// Asks for all parked messages, or for those of a topic.
  ///
  /// - Returns: Their number.
  public func retryAll(of topic: String?) async throws -> Int {
    try await session.query(Query("retry_parked", Schema.retryParked), [topic.map { .text($0) } ?? .null]).first?
      .get(0) ?? 0
  }

  /// Records a request for a message's key. A running relay carries it out within seconds.
  ///
  /// - Returns: The number of messages affected; 0 if no parked message has this id.
  public func request(_ request: Request, _ id: Int64) async throws -> Int {
    try await session.query(
      Query("request_parked", Schema.requestParked), [.bigint(id), .text(request.rawValue)]
    ).first?.get(0) ?? 0
  }
}
