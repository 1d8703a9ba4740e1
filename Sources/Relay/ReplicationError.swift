/// An error that keeps a relay from using its source. None of them is ignored (G10).
public enum ReplicationError: Error, Equatable, CustomStringConvertible {
  case outOfPlace(String)
  case slotLost(String)
  /// A relay has read this slot before, and it is gone: what it had not published yet is not known.
  case slotGone(String)
  /// The slot of this name is of another kind, or of another database.
  case foreignSlot(String, reason: String)
  case publicationMissing(String)
  case noTables(String)
  /// Another relay holds the name; this one takes over when the other stops.
  case held(String, by: String)
  /// What the relay knew of its place is void.
  case displaced(relay: String)
  case shardsChanged(relay: String, from: Int, to: Int)

  public var description: String {
    switch self {
    case .outOfPlace(let what): "unexpected state: \(what)"
    case .slotLost(let slot):
      "the server has removed WAL that slot \(slot) still needed (max_slot_wal_keep_size): changes are missing. Set "
        + "snapshot.mode=when_needed to read the tables again, or drop the slot and accept the gap"
    case .slotGone(let slot):
      "slot \(slot) is gone (dropped, or this server is a promoted standby), and changes may be missing. Set "
        + "snapshot.mode=when_needed to read the tables again, or accept the gap: annals relay forget \(slot)"
    case .foreignSlot(let slot, let reason):
      "replication slot \(slot) is not this relay's: \(reason). Choose another name (relay.slot, slot.name), or drop the slot"
    case .publicationMissing(let name):
      "publication \(name) does not exist, and publication.autocreate.mode=disabled: create the publication"
    case .held(let name, let holder): "another relay is active as \(name): \(holder)"
    case .shardsChanged(let relay, let from, let to):
      "relay \(relay) has \(from) shards, not \(to) (relay.shard). To change the number, stop all its shards, wait "
        + "until they have ended, and delete its rows in annals.relay_checkpoints; all of the outbox is then read again"
    case .displaced(let relay):
      "relay \(relay) was forgotten, or the log was adopted (annals adopt), while it ran: it begins anew"
    case .noTables(let name):
      "publication \(name) would have no table: table.include.list and schema.include.list match none"
    }
  }
}
