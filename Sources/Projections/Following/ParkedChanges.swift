import Events
public import Postgres
import Schema

/// Streams whose change a view refused, and the later changes that wait with them (G7). A retry folds the stream from the log.
///
/// Each generation has parked streams of its own: what one refuses, another may take.
final class ParkedChanges {
  private let view: any View
  private let generation: Int
  private let pool: PostgresPool
  private var streams: [StreamID: StreamVersion] = [:]
  private var reviewedAt: ContinuousClock.Instant?

  private static let park = Query("park_change", Schema.parkChange)
  private static let list = Query("parked_streams", Schema.parkedStreams)
  private static let settle = Query("settle_parked_change", Schema.settleParkedChange)

  private static let settled = Query("settled_streams", Schema.settledStreams)
  private static let hold = Query("hold_change", Schema.holdChange)

  init(_ view: any View, _ generation: Int, _ pool: PostgresPool) {
    (self.view, self.generation, self.pool) = (view, generation, pool)
  }

  var count: Int { streams.count }

  /// Notes the changes of parked streams, and returns the others.
  func holdBack(_ changes: [ViewChange]) async throws -> [ViewChange] {
    if reviewedAt == nil { _ = try await load() }
    guard !streams.isEmpty else { return changes }
    for change in ViewChange.newest(of: changes) where streams[change.stream] != nil {
      let held = try await pool.query(
        Self.hold,
        [
          .text(view.name), .integer(Int32(generation)), .text(change.stream.description),
          .bigint(change.version.value),
        ])
      // Another process has settled it meanwhile: the change is applied.
      if held.isEmpty { streams[change.stream] = nil }
    }
    return changes.filter { streams[$0.stream] == nil }
  }

  func park(_ change: ViewChange, reason: String) async throws {
    try await park(change.stream.description, version: change.version, reason: reason)
  }

  /// - Parameter name: The stream's, or the place of a message that does not say which stream it is of.
  func park(_ name: String, version: StreamVersion = .none, reason: String) async throws {
    try await pool.query(
      Self.park,
      [
        .text(view.name), .integer(Int32(generation)), .text(String(name.prefix(1_000))), .bigint(version.value),
        .text(reason.replacing("\0", with: "")),
      ])
    if let stream = StreamID(name) { streams[stream] = version }
  }

  /// Streams of the view that are parked, and what the operator wants.
  private func load() async throws -> [(id: Int64, stream: StreamID?, request: ParkedStreams.Request)] {
    var requested: [(Int64, StreamID?, ParkedStreams.Request)] = []
    streams = [:]
    for row in try await pool.query(Self.list, [.text(view.name), .integer(Int32(generation))]) {
      // nil: a message that does not say which stream it is of.
      let stream = StreamID(try row.get(1))
      if let stream { streams[stream] = StreamVersion(try row.get(2)) }
      if let word = try row.optional(4, as: String.self), let request = ParkedStreams.Request(rawValue: word) {
        requested.append((try row.get(0), stream, request))
      }
    }
    reviewedAt = .now
    return requested
  }

  /// Carries out the operator's requests, every few seconds.
  func review(_ history: History) async throws {
    if let reviewedAt, ContinuousClock.now - reviewedAt < .seconds(2) { return }
    for (id, stream, request) in try await load() {
      switch request {
      case .retry:
        guard let stream, view.categories.contains(stream.category) else {
          try await settle(id, "dropped", "there is no such stream in the log")
          continue
        }
        let changes = try await history.changes(of: [stream], everyEvent: view.takesEveryEvent)
        let outcomes = try await view.apply(changes, to: generation)
        let refusal = outcomes.lazy.compactMap { if case .refused(let reason) = $0 { reason } else { nil } }.first
        // A change that came after the folding stays parked. The next retry folds it.
        let folded = changes.last?.version ?? .none
        let isSettled = try await settle(
          id, refusal == nil ? "delivered" : "parked", refusal, upTo: refusal == nil ? folded : nil)
        if refusal == nil, isSettled { streams[stream] = nil }
      case .skip, .drop:
        // The view goes on without what waited; the next change of the stream is applied again.
        try await settle(id, request == .skip ? "skipped" : "dropped", nil)
        if let stream { streams[stream] = nil }
      }
    }
  }

  /// Applies again what was retried lately: no message in Kafka brings it to a store that comes back older.
  func repeatSettled(_ history: History) async throws {
    guard await view.store.connection != nil else { return }
    for row in try await pool.query(Self.settled, [.text(view.name), .integer(Int32(generation))]) {
      guard let stream = StreamID(try row.get(0)), view.categories.contains(stream.category) else { continue }
      _ = try await view.apply(
        try await history.changes(of: [stream], everyEvent: view.takesEveryEvent), to: generation)
    }
  }

  @discardableResult
  private func settle(
    _ id: Int64, _ state: String, _ reason: String?, upTo version: StreamVersion? = nil
  ) async throws -> Bool {
    try await !pool.query(
      Self.settle,
      [
        .bigint(id), .text(state), reason.map { .text($0) } ?? .null,
        version.map { .bigint($0.value) } ?? .null,
      ]
    ).isEmpty
  }

  /// The streams that are parked now.
  func parked() async throws -> Set<StreamID> {
    _ = try await load()
    return Set(streams.keys)
  }
}

/// An operator's view of parked streams, and the possible requests. Works wherever the projections run.
public struct ParkedStreams: Sendable {
  private let pool: PostgresPool

  public init(_ pool: PostgresPool) { self.pool = pool }

  public struct Entry: Sendable {
    public let id: Int64
    public let view: String
    public let stream: String
    /// The version that was refused, and the newest that waits.
    public let version: Int64
    public let newest: Int64
    public let reason: String
    public let since: String
    /// The request that is not carried out yet; empty: there is none.
    public let request: String
  }

  public enum Request: String, CaseIterable, Sendable {
    /// Fold the stream from the log and apply it.
    case retry
    /// Leave out what waits; later changes of the stream are applied.
    case skip
    case drop
  }

  public func list() async throws -> [Entry] {
    try await pool.query(Query("list_parked_changes", Schema.listParkedChanges)).map { row in
      Entry(
        id: try row.get(0), view: try row.get(1), stream: try row.get(2), version: try row.get(3),
        newest: try row.get(4), reason: try row.get(5), since: try row.get(6), request: try row.get(7))
    }
  }

  /// Everything about one, as JSON; nil if there is none of this number.
  public func show(_ id: Int64) async throws -> String? {
    try await pool.query(Query("show_parked_change", Schema.showParkedChange), [.bigint(id)]).first?.get(0)
  }

  /// - Returns: False if none of this number is parked.
  public func request(_ request: Request, _ id: Int64) async throws -> Bool {
    try await !pool.query(
      Query("request_parked_change", Schema.requestParkedChange), [.bigint(id), .text(request.rawValue)]
    ).isEmpty
  }
}
