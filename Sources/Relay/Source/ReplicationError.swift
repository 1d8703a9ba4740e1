/// What came from Postgres is not what the relay's slot and outbox should bring.
public enum ReplicationError: Error, Equatable, CustomStringConvertible {
  case outOfPlace(String)

  public var description: String {
    switch self {
    case .outOfPlace(let what): "the replication stream brought \(what)"
    }
  }
}
