public import Events

/// Something that is made from history and kept up to date, for reading: rows in an index, keys, lists.
///
/// A view is kept in generations. One is live; a rebuild writes the next one beside it, and they change places in one step. Every
/// write is fenced by the stream's version: a change that comes again, or after a newer one, has no effect. So redelivery,
/// replay and a rebuild beside the live generation are harmless (G8).
public protocol View: Sendable {
  /// Its name in the registry, in consumer groups, metrics, logs and on the command line.
  var name: String { get }

  /// Categories of the streams whose changes it takes.
  var categories: [String] { get }

  /// The version of its entries' form, from 1. A program with a higher one builds a new generation; until that is live it goes on to
  /// write to the old one, which must take the new entries: unknown fields are kept there and not searched.
  var form: Int { get }

  /// True if it has an entry for each event, false if the newest change of a stream says all.
  var takesEveryEvent: Bool { get }

  /// How many requests its store takes at once with profit. Changes of one stream are never in two of them.
  var lanes: Int { get }

  /// How long changes are gathered before they are applied together: where each request costs a write to the disk, a few large ones
  /// are visible sooner than many small ones.
  var gathering: Duration { get }

  /// Where its generations are kept.
  var store: any ViewStore { get }

  /// Applies changes, of each stream in their order. Returns once the generation holds all that are not refused.
  ///
  /// - Returns: An outcome for each change.
  /// - Throws: If the store cannot take any of them now. They are then applied again.
  func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome]
}

/// The generations of one view in a store.
public protocol ViewStore: Sendable {
  /// Makes the generation's store, with nothing in it.
  func make(_ generation: Int) async throws

  /// True if the generation's store is there, made by `make`, with entries. Asking changes nothing.
  ///
  /// - Parameter expectsEntries: True if it had some: one that is empty has then lost them.
  func isThere(_ generation: Int, expectsEntries: Bool) async throws -> Bool

  /// The generation that readers see; nil: none.
  func shown() async throws -> Int?

  /// Lets readers see this generation and no other. May be called again.
  func activate(_ generation: Int) async throws

  /// Deletes a generation's store. May be called again.
  func drop(_ generation: Int) async throws

  /// The number of the connection to a store whose server may come back without writes that it has acknowledged; nil: the store
  /// keeps what it acknowledges.
  var connection: Int? { get async }

  /// Notes how far the generation is; offsets of partitions that are not named stay as they are.
  ///
  /// - Parameter connection: The one over which everything up to there was written.
  /// - Throws: `StoreReconnected` if that one is gone.
  func note(_ place: StorePlace, in generation: Int, over connection: Int) async throws

  /// How far the generation is; without a note it was built to the stream “”.
  func noted(in generation: Int) async throws -> StorePlace
}

extension ViewStore {
  public var connection: Int? { get async { nil } }
  public func note(_ place: StorePlace, in generation: Int, over connection: Int) async throws {}
  public func noted(in generation: Int) async throws -> StorePlace { StorePlace(builtTo: nil, offsets: [:]) }
}

extension View {
  public var form: Int { 1 }
  public var takesEveryEvent: Bool { false }
  public var lanes: Int { 1 }
  public var gathering: Duration { .zero }

  /// Applies changes in as many requests side by side as there are lanes.
  func applyInLanes(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    guard lanes > 1, changes.count >= Self.worthwhile else { return try await apply(changes, to: generation) }
    var parts = [[(index: Int, change: ViewChange)]](repeating: [], count: lanes)
    for (index, change) in changes.enumerated() {
      parts[Int(UInt(bitPattern: change.stream.hashValue) % UInt(lanes))].append((index, change))
    }
    let applied = try await sideBySide(parts.filter { !$0.isEmpty }) { part in
      Array(zip(part.map(\.index), try await self.apply(part.map(\.change), to: generation)))
    }
    var outcomes = [ViewOutcome](repeating: .stale, count: changes.count)
    for (index, outcome) in applied.joined() { outcomes[index] = outcome }
    return outcomes
  }

  /// Fewer changes are one request.
  private static var worthwhile: Int { 200 }
}

/// What became of a change.
public enum ViewOutcome: Equatable, Sendable {
  case applied
  /// The view had this version or a newer one.
  case stale
  /// It can never be applied as it is: its stream is parked.
  case refused(reason: String)
}

/// A view whose entries can be told from history: `annals verify` compares them.
public protocol ComparableView: View {
  /// The entries that a change gives, by their ids. Without a comparable content the image is nil.
  func entries(of change: ViewChange) -> [(id: String, row: ViewRow)]

  /// What the generation has under these ids.
  func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow]

  /// True if an entry is as history wants it.
  func agrees(_ found: ViewRow?, with expected: ViewRow) -> Bool

  /// True if an entry differs for a reason that is told elsewhere, and that building it again does not change.
  func isExcused(_ found: ViewRow) -> Bool

  /// Ids of the generation's entries and their streams, a page at a time; a page may be empty.
  ///
  /// - Parameter cursor: `next` of the page before; nil: from the beginning.
  /// - Returns: `next` is nil after the last page.
  func list(_ cursor: String?, of generation: Int) async throws -> (
    entries: [(id: String, stream: StreamID)], next: String?
  )

  /// Deletes entries that history does not have.
  func remove(_ ids: [String], of generation: Int) async throws

  /// Writes the entries of changes whatever the generation has under their ids, unless that is newer.
  func repair(_ changes: [ViewChange], of generation: Int) async throws
}

extension ComparableView {
  public func agrees(_ found: ViewRow?, with expected: ViewRow) -> Bool { found == expected }
  public func isExcused(_ found: ViewRow) -> Bool { false }
}

/// A view whose readers can ask for a state that is not older than what they have written.
public protocol AwaitableView: View {
  /// The version of a stream that readers of the live generation see from now on; nil: none yet.
  ///
  /// - Parameter atLeast: What is waited for: only then is it worth making it visible.
  func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion?
}

/// One entry of a view.
public struct ViewRow: Equatable, Sendable {
  public let version: StreamVersion
  /// The entry as JSON text; nil: the aggregate is deleted.
  public let image: String?

  public init(version: StreamVersion, image: String?) { (self.version, self.image) = (version, image) }
}

/// A generation's store is not there any more.
struct StoreLost: Error, CustomStringConvertible {
  let store: String
  var description: String { "\(store) is gone" }
}
