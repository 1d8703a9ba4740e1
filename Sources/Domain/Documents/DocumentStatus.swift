/// Where a document stands.
public enum DocumentStatus: String, CaseIterable, Sendable {
  case created, viewed, pending, signed, rejected, archived

  /// What may follow. `archived` is the end; only deletion comes after it.
  public var successors: [DocumentStatus] {
    switch self {
    case .created: [.viewed, .pending, .archived]
    case .viewed: [.pending, .archived]
    case .pending: [.viewed, .signed, .rejected, .archived]
    case .signed: [.archived]
    case .rejected: [.pending, .archived]
    case .archived: []
    }
  }
}
