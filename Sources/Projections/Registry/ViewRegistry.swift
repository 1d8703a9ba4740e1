import Events
import JSON
public import Kafka
public import Postgres
import Schema

/// One generation of a view, as the registry has it (annals.view_generations).
public struct Generation: Equatable, Sendable {
  public enum State: String, Sendable {
    case building, live
    /// The one that was live before: there is a way back to it.
    case kept
    /// Nobody may use it; its store is to be dropped.
    case void
    case dropped
  }

  public let number: Int
  public let form: Int
  public let epoch: Int
  public let state: State
  /// Where it follows Kafka from, unless its consumer group knows better.
  public let offsets: [TopicPartition: Int64]
  /// The last stream that was read while it was built; empty: none yet.
  public let builtTo: String
  public let streams: Int
  /// Why it was begun, or is void.
  public let reason: String
  public let begunAt: String
  public let activatedAt: String?
}

/// The generations of all views, in Postgres: which one is live is decided here, once for all processes.
public struct ViewRegistry: Sendable {
  private let pool: PostgresPool

  public init(_ pool: PostgresPool) { self.pool = pool }

  private static let list = Query("view_generations", Schema.listGenerations)
  private static let begin = Query("begin_generation", Schema.beginGeneration)
  private static let record = Query("record_generation", Schema.recordGeneration)
  private static let addOffsets = Query("add_generation_offsets", Schema.addGenerationOffsets)
  private static let noteEntries = Query("note_generation_entries", Schema.noteGenerationEntries)
  private static let activate = Query("activate_generation", Schema.activateGeneration)
  private static let void = Query("void_generation", Schema.voidGeneration)
  private static let drop = Query("drop_generation", Schema.dropGeneration)
  private static let announce = Query("announce_views", Schema.announceViews)
  private static let noHandOver = Query("no_hand_over", Schema.noHandOver)
  private static let setOffsets = Query("set_generation_offsets", Schema.setGenerationOffsets)
  private static let epoch = Query("log_identity", Schema.logIdentity)

  /// All generations of a view that are not dropped, oldest first.
  public func generations(of view: String) async throws -> [Generation] {
    try await pool.query(Self.list, [.text(view)]).compactMap { row in
      guard let state = Generation.State(rawValue: try row.get(3)), state != .dropped else { return nil }
      return Generation(
        number: try row.get(0), form: try row.get(1), epoch: try row.get(2), state: state,
        offsets: Self.offsets(try JSONValue(parsing: try row.get(4, as: JSONText.self).bytes)),
        builtTo: try row.optional(5) ?? "", streams: try row.get(6), reason: try row.get(7), begunAt: try row.get(8),
        activatedAt: try row.optional(9))
    }
  }

  public func live(of view: String) async throws -> Generation? {
    try await generations(of: view).first { $0.state == .live }
  }

  /// Begins the next generation.
  ///
  /// - Parameters:
  ///   - offsets: Ends of the topics' partitions, taken before: what lies before them is in the log already.
  ///   - shown: The generation that readers see, which a restored registry may not know.
  ///   - reason: Why it is built, for operators.
  func begin(
    _ view: any View, offsets: [TopicPartition: Int64], shown: Int?, reason: String
  ) async throws -> Generation {
    let row = try await pool.query(
      Self.begin,
      [
        .text(view.name), .integer(Int32(view.form)), .jsonb(Self.json(offsets)), .text(reason),
        .integer(Int32(shown ?? 0)),
      ]
    ).first
    guard let row else { throw PostgresError.decoding(column: 0, expected: "there") }
    return Generation(
      number: try row.get(0), form: view.form, epoch: try row.get(1), state: .building, offsets: offsets, builtTo: "",
      streams: 0, reason: reason, begunAt: "", activatedAt: nil)
  }

  /// Records how far a generation is built.
  ///
  /// - Throws: `Superseded` if it is not being built any more: it was cancelled, or the log was adopted.
  func record(_ view: String, _ generation: Int, builtTo last: String, streams: Int) async throws {
    let rows = try await pool.query(
      Self.record, [.text(view), .integer(Int32(generation)), .text(last), .bigint(Int64(streams))])
    if rows.isEmpty { throw Superseded(view: view, generation: generation) }
  }

  /// Notes that a generation has entries, which its store may lose.
  func noteEntries(_ view: String, _ generation: Int) async throws {
    try await pool.query(Self.noteEntries, [.text(view), .integer(Int32(generation))])
  }

  func addOffsets(_ view: String, _ generation: Int, _ offsets: [TopicPartition: Int64]) async throws {
    for (topic, parts) in Dictionary(grouping: offsets, by: \.key.topic) {
      var writer = JSONWriter()
      writer.object { for part in parts { $0.member("\(part.key.partition)", part.value) } }
      try await pool.query(
        Self.addOffsets, [.text(view), .integer(Int32(generation)), .text(topic), .jsonb(writer.bytes)])
    }
  }

  /// Makes a generation the live one.
  ///
  /// - Throws: `Superseded` if it may not be: it is void, or of an earlier epoch of the log.
  func activate(_ view: String, _ generation: Int) async throws {
    let rows = try await pool.query(Self.activate, [.text(view), .integer(Int32(generation))])
    if rows.isEmpty { throw Superseded(view: view, generation: generation) }
    try await announce(view)
  }

  /// Says that nobody may use a generation any more. Readers see its store until another one is activated.
  ///
  /// - Returns: False if it was void already.
  @discardableResult
  public func void(_ view: String, _ generation: Int, reason: String) async throws -> Bool {
    let rows = try await pool.query(Self.void, [.text(view), .integer(Int32(generation)), .text(reason)])
    try await announce(view)
    return !rows.isEmpty
  }

  /// The channel on which changes of the registry are announced.
  static let channel: StaticString = "annals_views"

  private func announce(_ view: String) async throws { try await pool.query(Self.announce, [.text(view)]) }

  /// True unless a generation of the view takes the place of another just now.
  func isSettled(_ view: String) async throws -> Bool {
    try await pool.query(Self.noHandOver, [.text(view)]).first?.get(0) ?? false
  }

  /// Gives its offsets to a generation that was only asked for.
  func setOffsets(_ offsets: [TopicPartition: Int64], of view: any View, _ generation: Int) async throws {
    let rows = try await pool.query(
      Self.setOffsets,
      [.text(view.name), .integer(Int32(generation)), .jsonb(Self.json(offsets)), .integer(Int32(view.form))])
    if rows.isEmpty { throw Superseded(view: view.name, generation: generation) }
  }

  func dropped(_ view: String, _ generation: Int) async throws {
    try await pool.query(Self.drop, [.text(view), .integer(Int32(generation))])
  }

  /// The log's present epoch.
  func epoch() async throws -> Int {
    guard let row = try await pool.query(Self.epoch).first else {
      throw PostgresError.decoding(column: 0, expected: "there")
    }
    return try row.get(1)
  }

  // MARK: Offsets

  private static func json(_ offsets: [TopicPartition: Int64]) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      for (topic, parts) in Dictionary(grouping: offsets, by: \.key.topic) {
        writer.name(topic)
        writer.object { for part in parts { $0.member("\(part.key.partition)", part.value) } }
      }
    }
    return writer.bytes
  }

  private static func offsets(_ json: JSONValue) -> [TopicPartition: Int64] {
    var offsets: [TopicPartition: Int64] = [:]
    for topic in json.object?.members ?? [] {
      for part in topic.value.object?.members ?? [] {
        guard let partition = Int32(part.name), let offset = part.value.integer else { continue }
        offsets[TopicPartition(topic: topic.name, partition: partition)] = offset
      }
    }
    return offsets
  }
}

/// A generation may not be built or activated any more.
public struct Superseded: Error, Equatable, Sendable, CustomStringConvertible {
  public let view: String
  public let generation: Int
  public var description: String {
    "generation \(generation) of \(view) is void: it was cancelled, or the log was adopted meanwhile. Start again: annals rebuild \(view)"
  }
}
