public import Kafka

/// How far a generation's store is, as the store itself says: a server that comes back without what it has acknowledged says so
/// with an older place.
public struct StorePlace: Equatable, Sendable {
  /// The last stream that was read while the generation was built; nil: the building is done.
  public var builtTo: String?
  /// Offsets in Kafka up to which the generation has everything.
  public var offsets: [TopicPartition: Int64]

  public init(builtTo: String?, offsets: [TopicPartition: Int64]) { (self.builtTo, self.offsets) = (builtTo, offsets) }
}

/// Watches whether a store still has what it was given.
///
/// Redis acknowledges a write before it is on the disk or on a replica. A server that was killed, or a replica that takes over,
/// comes back as it was a moment, or a minute, before. Its connection is then another one.
final class StoreWatch {
  private let store: any ViewStore
  private let generation: Int
  /// Where the generation follows Kafka from in the beginning.
  private let first: [TopicPartition: Int64]
  /// The connection for which the place in memory and the store's own are known to agree.
  private var connection: Int?

  /// - Parameter connection: The one over which something was written before; nil: nothing was.
  init(_ store: any ViewStore, _ generation: Generation, since connection: Int? = nil) {
    (self.store, self.generation, first) = (store, generation.number, generation.offsets)
    self.connection = connection
  }

  /// The store's own place; nil: it keeps what it acknowledges, and notes no place.
  func place() async throws -> StorePlace? {
    guard let present = await store.connection else { return nil }
    try await check()
    connection = present
    return try await store.noted(in: generation)
  }

  /// The store's own place, however often it was connected to anew.
  func renewed() async throws -> StorePlace? {
    connection = nil
    return try await place()
  }

  /// Where partitions are followed from: nothing that the store lacks is left out, whatever the consumer group believes.
  func starts(of partitions: Set<TopicPartition>) async throws -> [TopicPartition: Int64] {
    guard let place = try await place() else { return [:] }
    guard place.builtTo == nil else { throw StoreLost(store: "what generation \(generation) was built of") }
    // Before its first note it has what it was built of.
    return first.merging(place.offsets) { $1 }.filter { partitions.contains($0.key) }
  }

  /// - Throws: `StoreReconnected` if the store may have lost something since.
  func check() async throws {
    if let connection, await store.connection != connection { throw StoreReconnected() }
  }

  /// Notes what was applied since the last note.
  ///
  /// - Throws: `StoreReconnected` if it was not all applied over the present connection.
  func note(_ place: StorePlace) async throws {
    try await check()
    guard let connection else { return }
    try await store.note(place, in: generation, over: connection)
  }
}

/// The store was connected to anew: whoever writes to it begins again at the place that it says.
struct StoreReconnected: Error, CustomStringConvertible {
  var description: String { "the store was connected to anew; what it has is looked at" }
}
