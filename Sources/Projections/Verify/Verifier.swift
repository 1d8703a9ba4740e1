import Domain
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
    public internal(set) var documents = 0
    public internal(set) var events = 0
    public internal(set) var differences: [Difference] = []
  }

  private let documents: AggregateStore<Document>
  private let pool: PostgresPool
  private let views: [any View]

  public init(store: EventStore, pool: PostgresPool, views: [any View]) {
    (documents, self.pool, self.views) = (AggregateStore(store), pool, views)
  }

  static let streams = Query("streams_of_category", Schema.streamsOfCategory)

  /// Compares all documents that have events.
  ///
  /// - Parameter progress: Called with the number of documents compared so far.
  public func run(progress: (Int) -> Void = { _ in }) async throws -> Report {
    var report = Report()
    var last = ""
    while true {
      let rows = try await pool.query(Self.streams, [.text("\(Document.category)"), .text(last), .bigint(200)])
      guard !rows.isEmpty else { return report }
      var expected: [(stream: StreamID, row: ViewRow)] = []
      for row in rows {
        last = try row.get(0)
        guard let stream = StreamID(last) else { continue }
        let loaded = try await documents.load(stream.id)
        report.events += Int(loaded.version.value)
        guard let document = loaded.state else { continue }
        let image = document.publishedRow.map { String(decoding: $0, as: UTF8.self) }
        expected.append((stream, ViewRow(version: loaded.version, image: image)))
      }
      report.documents += expected.count
      for view in views { try await compare(expected, view, &report) }
      progress(report.documents)
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
