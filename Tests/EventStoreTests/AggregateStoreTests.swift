import Postgres
@testable import EventStore
import Events
import Identifiers
import JSON
import Support
import Testing

/// The smallest aggregate: a number that grows.
struct Tally: Aggregate, Equatable {
  var total: Int64

  enum Command: Sendable { case add(Int64), addMany(Int), nothing }

  struct Event: DomainEvent, Equatable {
    let amount: Int64
    /// Schema 1 had the amount as “by”; schema 2 had none: it was 1.
    static let schemaVersions: [String: Int32] = ["TallyGrown": 3]
    static let upcasters = [
      Upcaster("TallyGrown", from: 1) { (fields: inout JSONObject) throws(JSONError) in
        fields = JSONObject([.init(name: "count", value: fields["by"] ?? .integer(1))])
      },
      Upcaster("TallyGrown", from: 2) { (fields: inout JSONObject) throws(JSONError) in
        fields = JSONObject([.init(name: "amount", value: fields["count"] ?? .null)])
      },
    ]
    static let personalFields = ["TallyGrown": ["amount"]]

    var type: String { "TallyGrown" }
    var data: [UInt8] { Array(#"{"amount":\#(amount)}"#.utf8) }

    init(amount: Int64) { self.amount = amount }

    init(type: String, fields: inout JSONFields) throws(JSONError) { amount = try fields.required("amount") }
  }

  enum Refusal: Events.Refusal, Equatable {
    case negative
    var kind: RefusalKind { .invalid }
    var description: String { "a tally only grows" }
  }

  static let category: StaticString = "tally"

  static func decide(_ command: Command, _ state: Tally?) throws(Refusal) -> [Event] {
    switch command {
    case .add(let amount):
      guard amount >= 0 else { throw .negative }
      return [Event(amount: amount)]
    case .addMany(let count): return Array(repeating: Event(amount: 1), count: count)
    case .nothing: return []
    }
  }

  static func evolve(_ state: Tally?, _ event: Event, at version: StreamVersion) -> Tally? {
    Tally(total: (state?.total ?? 0) + event.amount)
  }

  var publishedRow: [UInt8]? { Array(#"{"total":\#(total)}"#.utf8) }
}

extension Tally: SnapshottingAggregate {
  static let foldedBy: Int32 = 2
  var snapshot: [UInt8] { Array("\(total)".utf8) }
  init(snapshot: JSONValue) throws(JSONError) { total = try Int64(json: snapshot) }
}

@Suite("An aggregate's store", .workLimit(minutes: 5)) struct AggregateStoreTests {
  private func withStore(
    pageSize: Int = EventStore.pageSize, _ body: @Sendable (AggregateStore<Tally>, EventStore) async throws -> Void
  ) async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      try await body(AggregateStore(store, pageSize: pageSize), store)
    }
  }

  private let id = UUID.version7().description

  @Test("creates, loads, executes; a command without events appends none")
  func execute() async throws {
    try await withStore { tallies, store in
      #expect(try await tallies.create(id, .add(2), metadata: metadata) == Tally(total: 2))
      #expect(try await tallies.execute(.add(3), on: id, metadata: metadata) == Tally(total: 5))
      #expect(try await tallies.execute(.nothing, on: id, metadata: metadata) == Tally(total: 5))
      let loaded = try await tallies.load(id)
      #expect(loaded.state == Tally(total: 5))
      #expect(loaded.version == 2)
      #expect(try await tallies.load("nobody").state == nil)
    }
  }

  @Test("refuses in the aggregate's own words, and appends nothing")
  func refusal() async throws {
    try await withStore { tallies, store in
      _ = try await tallies.create(id, .add(2), metadata: metadata)
      await #expect(throws: Tally.Refusal.negative) {
        try await tallies.execute(.add(-1), on: id, metadata: metadata)
      }
      #expect(try await store.read(Tally.stream(id)).events.count == 1)
    }
  }

  @Test("creates a stream once")
  func createsOnce() async throws {
    try await withStore { tallies, _ in
      _ = try await tallies.create(id, .add(2), metadata: metadata)
      await #expect(
        throws: AppendError.versionConflict(stream: Tally.stream(id), expected: .noStream, actual: 1)
      ) { try await tallies.create(id, .add(2), metadata: metadata) }
    }
  }

  @Test("decides a command again after another writer was faster, and never when the caller named a version")
  func races() async throws {
    try await withStore { tallies, _ in
      _ = try await tallies.create(id, .add(0), metadata: metadata)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<2 {
          group.addTask {
            for _ in 0..<40 { _ = try await tallies.execute(.add(1), on: id, metadata: metadata) }
          }
        }
        try await group.waitForAll()
      }
      #expect(try await tallies.load(id).state == Tally(total: 80))
      await #expect(throws: UnexpectedVersion(stream: Tally.stream(id), expected: 3, actual: 81)) {
        try await tallies.execute(.add(1), on: id, expecting: 3, metadata: metadata)
      }
      // Of writers that name the same version one wins, whether the others see the new version or lose the race.
      let wins = try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<8 {
          group.addTask {
            do {
              _ = try await tallies.execute(.add(1), on: id, expecting: 81, metadata: metadata)
              return true
            } catch is UnexpectedVersion { return false }
          }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(wins == 1)
    }
  }

  @Test("reads older schema versions of an event by their upcasters")
  func upcasting() async throws {
    try await withStore { tallies, store in
      func append(_ version: Int32, _ data: String) async throws {
        _ = try await store.append(
          [NewEvent(type: "TallyGrown", schemaVersion: version, data: Array(data.utf8), change: nil)],
          to: Tally.stream(id), expecting: .any, metadata: metadata)
      }
      try await append(1, #"{"by":5}"#)
      try await append(1, "{}")
      try await append(2, #"{"count":7}"#)
      _ = try await tallies.execute(.add(2), on: id, metadata: metadata)
      #expect(try await tallies.load(id).state == Tally(total: 15))
      try await append(4, "{}")
      await #expect(throws: EventReadError.self) { try await tallies.load(id) }
    }
  }

  @Test("kept states save reading, and never change a result: others' rules, lost ones and broken ones are passed over")
  func snapshots() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let plain = AggregateStore<Tally>(store)
      let kept = AggregateStore<Tally>(store, pageSize: 10, snapshots: .every(20))
      let session = try await database.session()
      _ = try await plain.create(id, .addMany(19), metadata: metadata)
      _ = try await kept.load(id)
      #expect(try await session.value("select count(*) from annals.snapshots") == "0")
      for number in 1...50 {
        _ = try await kept.execute(.addMany(7), on: id, metadata: metadata)
        let (folded, read) = (try await plain.load(id), try await kept.load(id))
        #expect(folded.state == read.state && folded.version == read.version)
        // It says nothing of the past.
        #expect(try await kept.load(id, asOf: .version(5)).state == Tally(total: 5))
        switch number {
        case 20: try await session.execute("update annals.snapshots set folded_by = 1, state = '0'")
        case 30: try await session.execute("update annals.snapshots set state = '{}'")
        case 40: try await session.execute("delete from annals.snapshots")
        default: break
        }
      }
      #expect((Int(try await session.value("select max(version) from annals.snapshots") ?? "") ?? 0) > 300)
      session.close()
    }
  }

  /// Adds 1,000, and swaps the actor's letters.
  private struct Disguise: PersonalDataCoder {
    func encode(_ value: JSONValue, in stream: StreamID) -> JSONValue { code(value, 1_000) }
    func decode(_ value: JSONValue, in stream: StreamID) -> JSONValue { code(value, -1_000) }
    private func code(_ value: JSONValue, _ distance: Int64) -> JSONValue {
      switch value {
      case .integer(let number): .integer(number + distance)
      case .string(let text): .string(String(text.reversed()))
      default: value
      }
    }
  }

  @Test("personal fields are stored in another form than they are written and read")
  func personalFields() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool, personal: PersonalFields(coder: Disguise(), aggregates: [Tally.self]))
      let tallies = AggregateStore<Tally>(store)
      _ = try await tallies.create(id, .add(2), metadata: metadata)
      let session = try await database.session()
      #expect(
        try await session.execute("select data, metadata->>'actor' from annals.events") == [
          [#"{"amount":1002}"#, "ecila"]
        ])
      #expect(try await tallies.load(id).state == Tally(total: 2))
      let recorded = try #require(try await store.read(Tally.stream(id)).events.first)
      let actor = try recorded.metadata.actor
      #expect(actor == "alice")
      try await session.execute("select annals.sequence_events()")
      let reader = LogReader(store, database.options, on: database.reactor, logger: quietLogger())
      _ = try await reader.read(from: .start) { events in
        #expect(events.map(\.data) == [Array(#"{"amount":2}"#.utf8)])
      }
      session.close()
    }
  }

  @Test("a command with a key is decided once; its first answer comes again")
  func once() async throws {
    try await withStore { tallies, store in
      func add(_ request: UInt8) async throws -> Tally? {
        try await tallies.execute(
          .add(2), on: id, metadata: metadata,
          once: Once("add", request: [request]) { Array("\($0?.total ?? 0)".utf8) })
      }
      let first = try await add(1)
      #expect(first == Tally(total: 2))
      let replayed = await #expect(throws: CommandReplayed.self) { try await add(1) }
      #expect(replayed?.answer == Array("2".utf8))
      await #expect(throws: AppendError.commandDiffers(key: "add")) { try await add(2) }
      let version = try await tallies.load(id).version
      #expect(version == 1)
    }
  }

  @Test("goes to the end of a stream of 25,000 events: load, command, past state and history")
  func longStream() async throws {
    try await withStore { tallies, store in
      _ = try await tallies.create(id, .add(0), metadata: metadata)
      for _ in 0..<25 { _ = try await tallies.execute(.addMany(1_000), on: id, metadata: metadata) }
      let loaded = try await tallies.load(id)
      #expect(loaded.version == 25_001)
      #expect(loaded.state == Tally(total: 25_000))
      #expect(try await tallies.execute(.add(1), on: id, metadata: metadata) == Tally(total: 25_001))
      #expect(try await tallies.load(id, asOf: .version(20_000)).state == Tally(total: 19_999))
      var steps = 0
      var last: Tally?
      for try await page in tallies.history(of: id) {
        #expect(page.count <= EventStore.pageSize)
        #expect(page.first?.before == last)
        steps += page.count
        last = page.last?.after
      }
      #expect(steps == 25_002)
      #expect(last == Tally(total: 25_001))
    }
  }

  @Test("reads pages that say whether more follows", arguments: [1, 2, 3, 4])
  func pages(_ size: Int) async throws {
    try await withStore(pageSize: size) { tallies, store in
      _ = try await tallies.create(id, .addMany(3), metadata: metadata)
      let page = try await store.read(Tally.stream(id), limit: size)
      #expect(page.events.count == min(size, 3))
      #expect(page.hasMore == (size < 3))
      #expect(try await tallies.load(id).state == Tally(total: 3))
      var steps = 0
      for try await page in tallies.history(of: id) { steps += page.count }
      #expect(steps == 3)
      #expect(try await tallies.load(id, asOf: .version(2)).state == Tally(total: 2))
    }
  }
}
