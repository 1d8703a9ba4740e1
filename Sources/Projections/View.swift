public import Events

/// Rows that a projection keeps. Every write is fenced by the stream's version: applying a change twice, or an older one
/// after a newer, changes nothing. So redelivery, replay and rebuild at the same time are harmless.
public protocol View: Sendable {
  /// Names the consumer group, metrics and logs.
  var name: String { get }

  /// The categories of streams whose changes it takes.
  var categories: [String] { get }

  /// Creates the store of the view, unless it exists.
  func prepare() async throws

  /// Applies changes. Returns only when all of them are in the view, or newer ones.
  func apply(_ changes: [ViewChange]) async throws

  /// The rows of those aggregates now, for comparison with history.
  func read(_ ids: [String]) async throws -> [String: ViewRow]
}

/// One row of a view.
public struct ViewRow: Equatable, Sendable {
  public let version: StreamVersion
  /// The row image as JSON text; nil if the view knows that the aggregate is deleted.
  public let image: String?

  public init(version: StreamVersion, image: String?) { (self.version, self.image) = (version, image) }
}

/// An error that says whether a retry may succeed.
public protocol RetriableError: Error {
  var isRetriable: Bool { get }
}
