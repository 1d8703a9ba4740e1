public import Events
import Postgres
import Reactor
import Schema

/// Compares views with history (G8), by stream and version, while writes go on: what only lags is no difference.
public struct Verifier {
  /// An entry of a view that differs from history.
  public struct Difference: Sendable, CustomStringConvertible {
    public enum Kind: String, Sendable {
      case missing
      /// Of an older version, and no newer one comes.
      case stale
      /// Of the right version with another content.
      case edited
      /// Of a version that history does not have yet.
      case ahead
      /// Of a stream that history does not have.
      case extra
    }

    public let kind: Kind
    public let view: String
    public let entry: String
    public let stream: StreamID
    /// nil: history does not have the stream.
    public let expected: ViewRow?
    public let found: ViewRow?

    public var description: String {
      func text(_ row: ViewRow?) -> String {
        row.map { "version \($0.version), \($0.image ?? "deleted")" } ?? "nothing"
      }
      return
        "\(view): \(entry) of \(stream) is \(kind.rawValue): history has \(text(expected)); the view has \(text(found))"
    }
  }

  public struct Report: Sendable {
    public internal(set) var streams = 0
    public internal(set) var events = 0
    public internal(set) var entries = 0
    public internal(set) var differences: [Difference] = []
    /// How many of them were repaired.
    public internal(set) var repaired = 0
  }

  public struct Options: Sendable {
    /// The number of streams that are compared, chosen at random; nil: all.
    public var sample: Int?
    /// True: what differs is written again.
    public var repairs: Bool
    /// How long a view may lag.
    public var patience: Duration

    public init(sample: Int? = nil, repairs: Bool = false, patience: Duration = .seconds(30)) {
      (self.sample, self.repairs, self.patience) = (sample, repairs, patience)
    }
  }

  /// No generation of a view is live.
  public struct NotLive: Error, CustomStringConvertible {
    public let view: String
    public var description: String {
      "no generation of \(view) is live: annals project builds one, annals rebuild --status shows how far it is"
    }
  }

  private static let sampleStreams = Query("sample_streams", Schema.sampleStreams)
  private static let tips = Query("stream_tips", Schema.streamTips)
  /// Streams that are compared together.
  private static let stretch = 500

  private let world: ViewWorld

  public init(_ world: ViewWorld) { self.world = world }

  /// Compares the live generations of views.
  public func run(_ views: [any View], _ options: Options = Options()) async throws -> Report {
    var pairs: [(any ComparableView, Int)] = []
    for view in views {
      guard let view = view as? any ComparableView else { continue }
      guard let live = try await world.registry.live(of: view.name) else { throw NotLive(view: view.name) }
      pairs.append((view, live.number))
    }
    return try await run(pairs, options)
  }

  /// - Parameter whileWaiting: Called while a generation lags that nobody else follows; nil: somebody does.
  func run(
    _ views: [(any ComparableView, Int)], _ options: Options, whileWaiting: (() async throws -> Void)? = nil
  ) async throws -> Report {
    var report = Report()
    var isFirst: Set<String> = []
    for (view, generation) in views {
      let comparison = Comparison(
        view: view, generation: generation, world: world, options: options, whileWaiting: whileWaiting)
      for category in view.categories {
        // Streams and events are counted once, however many views take them.
        let counts = isFirst.insert(category).inserted
        try await comparison.compare(category, counts: counts, &report)
      }
      if options.sample == nil { try await comparison.findExtra(&report) }
    }
    return report
  }

  private struct Comparison {
    let view: any ComparableView
    let generation: Int
    let world: ViewWorld
    let options: Options
    let whileWaiting: (() async throws -> Void)?

    func compare(_ category: String, counts: Bool, _ report: inout Report) async throws {
      let history = world.history()
      func take(_ changes: [ViewChange]) async throws {
        for start in stride(from: 0, to: changes.count, by: Verifier.stretch) {
          let part = Array(changes[start..<min(start + Verifier.stretch, changes.count)])
          let suspects = try await differing(part, &report)
          try await judge(suspects, history, &report)
        }
      }
      if let sample = options.sample {
        let names = try await world.pool.query(
          Verifier.sampleStreams, [.text(category), .bigint(Int64(sample))]
        ).compactMap { StreamID(try $0.get(0)) }
        if counts { report.streams += names.count }
        return try await take(try await history.changes(of: names, everyEvent: view.takesEveryEvent))
      }
      var last = ""
      while let stretch = try await history.next(
        of: category, after: last, limit: Verifier.stretch, everyEvent: view.takesEveryEvent)
      {
        last = stretch.last
        if counts {
          report.streams += stretch.streams
          report.events += stretch.events
        }
        try await take(stretch.changes)
      }
    }

    /// Streams of which an entry is not as history says.
    private func differing(_ changes: [ViewChange], _ report: inout Report) async throws -> [StreamID] {
      let entries = changes.flatMap { change in view.entries(of: change).map { (change.stream, $0.id, $0.row) } }
      report.entries += entries.count
      let found = try await view.read(entries.map(\.1), of: generation)
      var seen: Set<StreamID> = []
      return entries.filter { !view.agrees(found[$0.1], with: $0.2) }.map(\.0).filter { seen.insert($0).inserted }
    }

    /// Looks at streams again until they agree, or until it is certain that they do not.
    private func judge(_ streams: [StreamID], _ history: History, _ report: inout Report) async throws {
      var streams = streams
      let deadline = ContinuousClock.now + options.patience
      var backoff = Backoff(first: .milliseconds(100), limit: .seconds(1))
      var isLast = false
      while !streams.isEmpty {
        // The view is read first: history may only have moved on since.
        let changes = try await history.changes(of: streams, everyEvent: view.takesEveryEvent)
        let entries = changes.flatMap { change in view.entries(of: change).map { (change, $0.id, $0.row) } }
        let found = try await view.read(entries.map(\.1), of: generation)
        let tips = try await self.tips(streams)
        var waiting: Set<StreamID> = []
        var differences: [(Difference, ViewChange)] = []
        for (change, id, row) in entries where !view.agrees(found[id], with: row) {
          let kind: Difference.Kind =
            switch found[id] {
            case nil: .missing
            case let entry? where entry.version < row.version: .stale
            case let entry? where entry.version > row.version: .ahead
            default: .edited
            }
          // The stream may have moved between the two readings; missing and stale entries may still come.
          let hasMoved = tips[change.stream] != change.version && !view.takesEveryEvent
          if !isLast, hasMoved || kind == .missing || kind == .stale {
            waiting.insert(change.stream)
          } else {
            let difference = Difference(
              kind: kind, view: view.name, entry: id, stream: change.stream, expected: row, found: found[id])
            differences.append((difference, change))
          }
        }
        for (difference, change) in differences where !waiting.contains(difference.stream) {
          report.differences.append(difference)
          guard options.repairs, difference.kind != .ahead else { continue }
          try await view.repair([change], of: generation)
          report.repaired += 1
        }
        streams = streams.filter { waiting.contains($0) }
        guard !streams.isEmpty else { return }
        isLast = .now >= deadline
        if isLast { continue }
        if let whileWaiting { try await whileWaiting() } else { try await world.reactor.sleep(for: backoff.next()) }
      }
    }

    private func tips(_ streams: [StreamID]) async throws -> [StreamID: StreamVersion] {
      var tips: [StreamID: StreamVersion] = [:]
      for row in try await world.pool.query(Verifier.tips, [.texts(streams.map(\.description))]) {
        guard let stream = StreamID(try row.get(0)) else { continue }
        tips[stream] = StreamVersion(try row.get(1))
      }
      return tips
    }

    /// Finds entries of streams that history does not have.
    func findExtra(_ report: inout Report) async throws {
      var cursor: String?
      repeat {
        let (page, next) = try await view.list(cursor, of: generation)
        cursor = next
        // An entry is written after its event: a stream that is not there now was never there.
        let tips = try await tips(Array(Set(page.map(\.stream))))
        let extra = page.filter { tips[$0.stream] == nil }
        guard !extra.isEmpty else { continue }
        let found = try await view.read(extra.map(\.id), of: generation)
        for (id, stream) in extra {
          report.differences.append(
            Difference(kind: .extra, view: view.name, entry: id, stream: stream, expected: nil, found: found[id]))
        }
        if options.repairs {
          try await view.remove(extra.map(\.id), of: generation)
          report.repaired += extra.count
        }
      } while cursor != nil
    }
  }
}
