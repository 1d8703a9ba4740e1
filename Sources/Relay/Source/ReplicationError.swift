/// What stands between a relay and its slot: none of it is passed over (G10).
public enum ReplicationError: Error, Equatable, CustomStringConvertible {
  case outOfPlace(String)
  case slotLost(String)
  case publicationMissing(String)
  case noTables(String)
  /// Another relay has the name; this one takes over when it goes.
  case held(String)
  case shardsChanged(relay: String, from: Int, to: Int)

  public var description: String {
    switch self {
    case .outOfPlace(let what): "the replication stream brought \(what)"
    case .slotLost(let slot):
      "the server has removed WAL that slot \(slot) still needed (max_slot_wal_keep_size): changes are missing. Read the "
        + "tables anew with snapshot.mode=when_needed, or drop the slot and accept the gap"
    case .publicationMissing(let name):
      "there is no publication \(name), and publication.autocreate.mode=disabled: create it"
    case .held(let name): "another relay works as \(name)"
    case .shardsChanged(let relay, let from, let to):
      "relay \(relay) is divided into \(from) parts, not \(to): stop all of them, wait until they are through, and delete its "
        + "rows in annals.relay_checkpoints; the outbox is then read from its beginning"
    case .noTables(let name):
      "publication \(name) would have no table: table.include.list and schema.include.list match none"
    }
  }
}
