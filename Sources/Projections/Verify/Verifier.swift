public import EventStore
public import Events
public import Postgres
import Schema

/// Compares views with history: folds every document from its events and compares it with its row in each view (G8).
public struct Verifier: Sendable {
  /// A row of a view that differs from history.
  public struct Difference: Sendable, CustomStringConvertible {
    public let view: String
    public let stream: StreamID
    public let expected: ViewRow
    public let found: ViewRow?

    public var description: String {
      "\(view): \(stream): history has version \(expected.version), \(expected.image ?? "deleted"); the view has "
        + (found.map { "version \($0.version), \($0.image ?? "deleted")" } ?? "no row")
    }
  }

  public struct Report: Sendable {
    public internal(set) var streams = 0
    public internal(set) var events = 0
    public internal(set) var differences: [Difference] = []
  }

  private let store: EventStore
  private let pool: PostgresPool
  private let aggregates: [any Aggregate.Type]
  private let views: [any View]

  public init(store: EventStore, pool: PostgresPool, aggregates: [any Aggregate.Type], views: [any View]) {
    (self.store, self.pool, self.aggregates, self.views) = (store, pool, aggregates, views)
  }

  static let streams = Query("streams_of_category", Schema.streamsOfCategory)

  /// Compares every stream of every aggregate with the views that take its category.
  public func run() async throws -> Report {
    var report = Report()
    for aggregate in aggregates { try await compare(aggregate, &report) }
    return report
  }

  private func compare<State: Aggregate>(_ aggregate: State.Type, _ report: inout Report) async throws {
    let states = AggregateStore<State>(store)
    let category = "\(State.category)"
    let concerned = views.filter { $0.categories.contains(category) }
    var last = ""
    while true {
      let rows = try await pool.query(Self.streams, [.text(category), .text(last), .bigint(200)])
      guard !rows.isEmpty else { return }
      var expected: [(stream: StreamID, row: ViewRow)] = []
      for row in rows {
        last = try row.get(0)
        guard let stream = StreamID(last) else { continue }
        let loaded = try await states.load(stream.id)
        report.events += Int(loaded.version.value)
        guard let state = loaded.state else { continue }
        let image = state.publishedRow.map { String(decoding: $0, as: UTF8.self) }
        expected.append((stream, ViewRow(version: loaded.version, image: image)))
      }
      report.streams += expected.count
      for view in concerned { try await compare(expected, view, &report) }
    }
  }

  private func compare(
    _ expected: [(stream: StreamID, row: ViewRow)], _ view: any View, _ report: inout Report
  ) async throws {
    let found = try await view.read(expected.map(\.stream.id))
    for (stream, row) in expected where found[stream.id] != row {
      report.differences.append(
        Difference(view: view.name, stream: stream, expected: row, found: found[stream.id]))
    }
  }
}
