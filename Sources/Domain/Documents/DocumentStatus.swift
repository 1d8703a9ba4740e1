/// The status of a document.
public enum DocumentStatus: String, CaseIterable, Sendable {
  case created, viewed, pending, signed, rejected, archived

  /// The statuses that may follow. `archived` is the last; only deletion comes after it.
  ///
  /// A signed document may become `viewed`: looking at it does not take its signatures away.
  public var successors: [DocumentStatus] {
    switch self {
    case .created: [.viewed, .pending, .signed, .archived]
    case .viewed: [.pending, .signed, .archived]
    case .pending: [.viewed, .signed, .rejected, .archived]
    case .signed: [.viewed, .archived]
    case .rejected: [.pending, .archived]
    case .archived: []
    }
  }
}
