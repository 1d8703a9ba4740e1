/// What stands between a relay and its slot: none of it is passed over (G10).
public enum ReplicationError: Error, Equatable, CustomStringConvertible {
  case outOfPlace(String)
  case slotLost(String)
  case publicationMissing(String)
  case noTables(String)

  public var description: String {
    switch self {
    case .outOfPlace(let what): "the replication stream brought \(what)"
    case .slotLost(let slot):
      "the server has removed WAL that slot \(slot) still needed (max_slot_wal_keep_size): changes are missing. Read the "
        + "tables anew with snapshot.mode=when_needed, or drop the slot and accept the gap"
    case .publicationMissing(let name):
      "there is no publication \(name), and publication.autocreate.mode=disabled: create it"
    case .noTables(let name):
      "publication \(name) would have no table: table.include.list and schema.include.list match none"
    }
  }
}
