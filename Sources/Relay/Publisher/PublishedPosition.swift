import Events
import JSON
import Postgres

/// The published position of a source, stored in the same Kafka transactions as the messages.
enum PublishedPosition: Equatable {
  /// Everything committed before this LSN.
  case wal(LogSequenceNumber)
  /// Every row of the table up to this one.
  case table(Position)
  /// Of the first reading of the outbox: every row below this number that the snapshot sees.
  case reading(TransactionSnapshot, below: Int64)

  init?(_ json: JSONValue) {
    if let lsn = json["lsn"]?.string.flatMap({ LogSequenceNumber($0) }) {
      self = .wal(lsn)
    } else if let snapshot = json["snapshot"]?.string.flatMap({ TransactionSnapshot($0) }),
      let number = json["below"]?.string.flatMap({ Int64($0) })
    {
      self = .reading(snapshot, below: number)
    } else if let epoch = json["epoch"]?.integer, let transaction = json["xid"]?.string.flatMap({ UInt64($0) }),
      let sequence = json["sequence"]?.string.flatMap({ Int64($0) })
    {
      self = .table(
        Position(epoch: Int32(truncatingIfNeeded: epoch), transaction: transaction, sequence: sequence))
    } else {
      return nil
    }
  }

  /// - Parameters:
  ///   - cluster: The cluster, timeline and epoch of the position, which means nothing in any other.
  ///   - parked: The parked message that the position's transaction holds.
  func write(cluster: String, parked: Int64?, into writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("cluster", cluster)
      switch self {
      case .wal(let lsn): writer.member("lsn", lsn.description)
      case .reading(let snapshot, let number):
        writer.member("snapshot", snapshot.description)
        writer.member("below", "\(number)")
      case .table(let row):
        writer.member("epoch", row.epoch)
        writer.member("xid", "\(row.transaction)")
        writer.member("sequence", "\(row.sequence)")
      }
      if let parked { writer.member("parked", parked) }
    }
  }
}
