import JSON
import Postgres

/// How far a source has been published, as it stands beside the messages in the same Kafka transactions.
enum PublishedPosition: Equatable {
  /// Everything that was committed before this place in the WAL.
  case wal(LogSequenceNumber)
  /// Every row of the table up to this one.
  case table(OutboxPosition)

  init?(_ json: JSONValue) {
    if let lsn = json["lsn"]?.string.flatMap({ LogSequenceNumber($0) }) {
      self = .wal(lsn)
    } else if let transaction = json["xid"]?.string.flatMap({ UInt64($0) }),
      let sequence = json["position"]?.string.flatMap({ Int64($0) })
    {
      self = .table(OutboxPosition(transaction: transaction, sequence: sequence))
    } else {
      return nil
    }
  }

  /// - Parameter cluster: Whose positions these are: those of another cluster, or of another life of it, mean nothing.
  func write(cluster: String, into writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("cluster", cluster)
      switch self {
      case .wal(let lsn): writer.member("lsn", lsn.description)
      case .table(let row):
        writer.member("xid", "\(row.transaction)")
        writer.member("position", "\(row.sequence)")
      }
    }
  }
}
