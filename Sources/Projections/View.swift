public import Events

/// A set of rows that a projection maintains. Every write is fenced by the stream's version: a change that is applied
/// twice, or after a newer one, has no effect. So redelivery, replay and concurrent rebuilds are harmless.
public protocol View: Sendable {
  /// Name of the view in its consumer group, metrics and logs.
  var name: String { get }

  /// Categories of the streams whose changes the view applies.
  var categories: [String] { get }

  /// Creates the view's store if it does not exist.
  func prepare() async throws

  /// Applies changes. Returns only after the view holds all of them, or newer ones.
  func apply(_ changes: [ViewChange]) async throws

  /// Current rows of the aggregates, by id, for comparison with history.
  func read(_ ids: [String]) async throws -> [String: ViewRow]
}

/// One row of a view.
public struct ViewRow: Equatable, Sendable {
  public let version: StreamVersion
  /// The row image as JSON text; nil if the view knows that the aggregate is deleted.
  public let image: String?

  public init(version: StreamVersion, image: String?) { (self.version, self.image) = (version, image) }
}

/// An error that declares if a retry may succeed.
public protocol RetriableError: Error {
  var isRetriable: Bool { get }
}
