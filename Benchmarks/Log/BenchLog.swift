import EventStore
import Events
import Glibc
import Identifiers
import JSON
import Logging
import Metrics
import Postgres
import Reactor
import Time

/// Measures the event store for Benchmarks/log.py. Each command prints one JSON object.
@main
struct BenchLog {
  static let row =
    #"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","content_type":null,"content_size":null,"s3_key":null,"content_sha256":null,"status":"created","created_by":"bench","created_at":"2026-11-21T13:20:38.123456Z","updated_at":"2026-11-21T13:20:38.123456Z","version":1}"#
  static let data =
    #"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","created_by":"bench","at":"2026-11-21T13:20:38.123456Z"}"#

  static func main() async throws {
    let words = Array(CommandLine.arguments.dropFirst())
    guard !words.isEmpty, let url = getenv("ANNALS_POSTGRES_URL") else {
      fatalError("bench-log append|fill|read|decode|stream|states|tail NUMBERS…, with ANNALS_POSTGRES_URL")
    }
    let options = PostgresOptions(url: String(cString: url), statementTimeout: .seconds(600))
    let numbers = words.dropFirst().compactMap { Int($0) }
    let reactors = (0..<2).map {
      Reactor(name: "bench-\($0)", logger: quiet, metrics: MetricsRegistry())
    }
    let bench = Bench(options: options, reactors: reactors)
    let result =
      switch words[0] {
      case "append": try await bench.append(tasks: numbers[0], events: numbers[1], seconds: numbers[2])
      case "fill": try await bench.fill(events: numbers[0], streams: numbers[1])
      case "read": try await bench.read(raw: true)
      case "decode": try await bench.read(raw: false)
      case "stream": try await bench.stream()
      case "states": try await bench.states(numbers[0])
      case "tail": try await bench.tail(seconds: numbers[0])
      default: fatalError("no command \(words[0])")
      }
    print(result)
    fflush(nil)
    _exit(0)
  }

  static var quiet: Logger { Logger(label: "bench", level: .error, handler: StandardErrorLog(form: .text)) }
}

/// A number that grows: the smallest aggregate.
struct Counter: Aggregate {
  var count: Int64

  struct Event: DomainEvent {
    static let schemaVersions: [String: Int32] = ["DocumentCreated": 1]
    var type: String { "DocumentCreated" }
    var data: [UInt8] { Array(BenchLog.data.utf8) }
    init() {}
    init(type: String, fields: inout JSONFields) throws(JSONError) { _ = try fields.required("title", as: String.self) }
  }

  enum Refusal: Events.Refusal {
    case none
    var kind: RefusalKind { .invalid }
    var description: String { "" }
  }

  static let category: StaticString = "bench"
  static func decide(_ command: Int, _ state: Counter?) throws(Refusal) -> [Event] { [Event()] }
  static func evolve(_ state: Counter?, _ event: Event, at version: StreamVersion) -> Counter? {
    Counter(count: (state?.count ?? 0) + 1)
  }
  var publishedRow: [UInt8]? { nil }
}

struct Bench: Sendable {
  let options: PostgresOptions
  let reactors: [Reactor]

  private func event() -> NewEvent {
    NewEvent(
      type: "DocumentCreated", data: Array(BenchLog.data.utf8),
      change: RowChange(before: nil, after: Array(BenchLog.row.utf8)))
  }

  private func pool(_ reactor: Reactor, _ connections: Int) async throws -> PostgresPool {
    try await reactor.run {
      let pool = PostgresPool(options, on: reactor, logger: BenchLog.quiet, metrics: MetricsRegistry())
      try await pool.start(connections: connections)
      return pool
    }
  }

  /// New streams, each by one transaction.
  func append(tasks: Int, events: Int, seconds: Int) async throws -> String {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    let counts = try await withThrowingTaskGroup(of: Int.self) { group in
      let used = tasks == 1 ? Array(reactors.prefix(1)) : reactors
      for (number, reactor) in used.enumerated() {
        let own = tasks / used.count
        group.addTask {
          let store = EventStore(try await pool(reactor, max(1, min(8, 16 / used.count))))
          return try await reactor.run {
            try await withThrowingTaskGroup(of: Int.self) { group in
              for _ in 0..<own {
                group.addTask(executorPreference: reactor) {
                  var count = 0
                  while clock.now < end {
                    _ = try await store.append(
                      (0..<events).map { _ in event() },
                      to: StreamID(category: "document", id: UUID.version7().description),
                      expecting: .noStream, metadata: EventMetadata(actor: "bench"))
                    count += 1
                  }
                  return count
                }
              }
              return try await group.reduce(0, +)
            }
          }
        }
        _ = number
      }
      return try await group.reduce(0, +)
    }
    return #"{"per_second":\#(counts / seconds)}"#
  }

  /// Events of many streams, without the outbox; then all get their index.
  func fill(events: Int, streams: Int) async throws -> String {
    let reactor = reactors[0]
    let store = EventStore(try await pool(reactor, 4))
    try await reactor.run {
      let each = events / streams
      for stream in 0..<streams {
        var left = each
        while left > 0 {
          let count = min(left, 1_000)
          _ = try await store.append(
            (0..<count).map { _ in
              NewEvent(type: "DocumentCreated", data: Array(BenchLog.data.utf8), change: nil)
            }, to: StreamID(category: "bench", id: "\(stream)"), expecting: .any,
            metadata: EventMetadata(actor: "bench"))
          left -= count
        }
      }
    }
    return #"{"events":\#(events)}"#
  }

  private func measured(_ body: (Reactor) async throws -> Int) async throws -> String {
    let reactor = reactors[0]
    let start = ContinuousClock.now
    let count = try await body(reactor)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return #"{"events":\#(count),"per_second":\#(Int(Double(count) / seconds))}"#
  }

  func read(raw: Bool) async throws -> String {
    let store = EventStore(try await pool(reactors[0], 2))
    return try await measured { reactor in
      try await reactor.run {
        let reader = LogReader(store, options, on: reactor, logger: BenchLog.quiet)
        var count = 0
        if raw {
          _ = try await reader.readRaw(from: .start) { _ in count += 1 }
        } else {
          _ = try await reader.read(from: .start) { count += $0.count }
        }
        return count
      }
    }
  }

  func stream() async throws -> String {
    let store = EventStore(try await pool(reactors[0], 2))
    return try await measured { reactor in
      try await reactor.run { Int(try await AggregateStore<Counter>(store).load("0").state?.count ?? 0) }
    }
  }

  /// Folds as many streams as there are into states.
  func states(_ streams: Int) async throws -> String {
    let store = EventStore(try await pool(reactors[0], 8))
    return try await measured { reactor in
      try await reactor.run {
        let states = AggregateStore<Counter>(store)
        var count = 0
        for first in stride(from: 0, to: streams, by: 8) {
          count += try await withThrowingTaskGroup(of: Int64.self) { group in
            for stream in first..<min(first + 8, streams) {
              group.addTask(executorPreference: reactor) { try await states.load("\(stream)").state?.count ?? 0 }
            }
            return Int(try await group.reduce(0, +))
          }
        }
        return count
      }
    }
  }

  /// Follows the log from its end while others append, and compares what came with what is there.
  func tail(seconds: Int) async throws -> String {
    let store = EventStore(try await pool(reactors[0], 2))
    let registry = MetricsRegistry()
    let reactor = reactors[0]
    return try await reactor.run {
      let sequencer = Sequencer(
        try await pool(reactor, 1), on: reactor, logger: BenchLog.quiet, metrics: registry)
      let sequencing = Task(executorPreference: reactor) { await sequencer.run() }
      let subscription = Subscription(
        "bench", of: store, options, on: reactor, logger: BenchLog.quiet, metrics: registry)
      var (seen, doubled, missed, late) = (0, 0, 0, [Int64]())
      var next = LogIndex.start
      struct Stop: Error {}
      let end = ContinuousClock.now + .seconds(seconds)
      do {
        try await subscription.run { events in
          let now = Timestamp.now().microseconds
          for event in events {
            guard let index = event.index else { continue }
            if index < next { doubled += 1 } else { missed += Int(index.value - next.value) }
            next = index.next
            seen += 1
            if seen % 10 == 0 { late.append(now - event.recordedAt.microseconds) }
          }
          if .now >= end { throw Stop() }
        }
      } catch is Stop {}
      sequencing.cancel()
      late.sort()
      func at(_ share: Double) -> Double {
        late.isEmpty ? 0 : Double(late[min(late.count - 1, Int(Double(late.count) * share))]) / 1_000
      }
      return #"{"seen":\#(seen),"missed":\#(missed),"doubled":\#(doubled),"p50_ms":\#(at(0.5)),"p99_ms":\#(at(0.99))}"#
    }
  }
}
