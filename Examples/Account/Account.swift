import EventStore
import Events
import Glibc
import JSON
import Logging
import Metrics
import Postgres
import Reactor

// An account whose history is its state, on EventStore alone. Run it on a database of its own:
//   ANNALS_POSTGRES_URL=postgresql://annals@127.0.0.1:25432/example swift run example-account

/// 1. The aggregate: what may happen (`decide`), and what it does (`evolve`). Pure functions.
struct Account: Aggregate {
  var owner: String
  /// In cents.
  var balance: Int64

  enum Command: Sendable { case open(owner: String), deposit(Int64), withdraw(Int64) }

  enum Event: DomainEvent {
    case opened(owner: String)
    case moved(cents: Int64)

    static let schemaVersions: [String: Int32] = ["AccountOpened": 1, "MoneyMoved": 1]
    static let personalFields = ["AccountOpened": ["owner"]]

    var type: String {
      switch self {
      case .opened: "AccountOpened"
      case .moved: "MoneyMoved"
      }
    }

    var data: [UInt8] {
      var writer = JSONWriter()
      writer.object {
        switch self {
        case .opened(let owner): $0.member("owner", owner)
        case .moved(let cents): $0.member("cents", cents)
        }
      }
      return writer.bytes
    }

    init(type: String, fields: inout JSONFields) throws(JSONError) {
      switch type {
      case "AccountOpened": self = .opened(owner: try fields.required("owner"))
      default: self = .moved(cents: try fields.required("cents"))
      }
    }
  }

  enum Refusal: Events.Refusal {
    case notOpen, openAlready, tooLittle(balance: Int64)

    var kind: RefusalKind {
      switch self {
      case .notOpen: .notFound
      case .openAlready, .tooLittle: .conflict
      }
    }

    var description: String {
      switch self {
      case .notOpen: "there is no such account"
      case .openAlready: "the account is open already"
      case .tooLittle(let balance): "the account has only \(balance) cents"
      }
    }
  }

  static let category: StaticString = "account"

  static func decide(_ command: Command, _ state: Account?) throws(Refusal) -> [Event] {
    switch (command, state) {
    case (.open(let owner), nil): return [.opened(owner: owner)]
    case (.open, _): throw .openAlready
    case (_, nil): throw .notOpen
    case (.deposit(let cents), _): return [.moved(cents: cents)]
    case (.withdraw(let cents), let account?):
      guard account.balance >= cents else { throw .tooLittle(balance: account.balance) }
      return [.moved(cents: -cents)]
    }
  }

  static func evolve(_ state: Account?, _ event: Event, at version: StreamVersion) -> Account? {
    switch event {
    case .opened(let owner): Account(owner: owner, balance: 0)
    case .moved(let cents): state.map { Account(owner: $0.owner, balance: $0.balance + cents) }
    }
  }

  /// What others see of it: the relay publishes each change of this row.
  var publishedRow: [UInt8]? {
    var writer = JSONWriter()
    writer.object {
      $0.member("owner", owner)
      $0.member("balance", balance)
    }
    return writer.bytes
  }
}

@main
struct Example {
  static func main() async throws {
    guard let url = getenv("ANNALS_POSTGRES_URL") else {
      print("set ANNALS_POSTGRES_URL to a database of this example's own")
      exit(64)
    }
    let logger = Logger(label: "example", level: .warning, handler: StandardErrorLog(form: .text))
    let metrics = MetricsRegistry()
    let options = PostgresOptions(url: String(cString: url))
    // 2. A reactor: one thread that owns its connections.
    let reactor = Reactor(name: "example", logger: logger, metrics: metrics)
    try await reactor.run {
      try await PostgresSession.with(options, on: reactor, logger: logger) { session in
        try await PostgresSession.with(options, on: reactor, logger: logger) { guardian in
          _ = try await Migrator(session, guardian: guardian, on: reactor, logger: logger).run()
        }
      }
      let pool = PostgresPool(options, on: reactor, logger: logger, metrics: metrics)
      try await pool.start(connections: 2)
      let store = EventStore(pool)

      // 3. Commands. A lost race is decided again; a broken rule is the aggregate's own error.
      let accounts = AggregateStore<Account>(store)
      let (mine, yours) = ("mine-\(getpid())", "yours-\(getpid())")
      let teller = EventMetadata(actor: "teller", correlationID: "first-day")
      _ = try await accounts.create(mine, .open(owner: "Ada"), metadata: teller)
      _ = try await accounts.create(yours, .open(owner: "Grace"), metadata: teller)
      _ = try await accounts.execute(.deposit(10_000), on: mine, metadata: teller)
      do { _ = try await accounts.execute(.withdraw(20_000), on: mine, metadata: teller) } catch let refusal
        as Account.Refusal
      {
        print("refused: \(refusal)")
      }

      // 4. Two streams in one transaction: both or none.
      try await store.together(metadata: teller) { unit in
        try await unit.execute(.withdraw(2_500), on: mine, unit.load(mine, Account.self))
        try await unit.execute(.deposit(2_500), on: yours, unit.load(yours, Account.self))
      }
      let (ada, grace) = (try await accounts.load(mine).state, try await accounts.load(yours).state)
      print("Ada has \(ada?.balance ?? 0), Grace \(grace?.balance ?? 0)")

      // 5. The past.
      print("Ada had \(try await accounts.load(mine, asOf: .version(2)).state?.balance ?? 0) before that")
      for try await page in accounts.history(of: mine) {
        for step in page { print("  version \(step.recorded.version): \(step.event)") }
      }

      // 6. The whole log, as it grows. In a service the sequencer and the subscription run as tasks of their own.
      let sequencer = Sequencer(pool, on: reactor, logger: logger, metrics: metrics)
      let sequencing = Task(executorPreference: reactor) { await sequencer.run() }
      let subscription = Subscription(
        "example-\(getpid())", .category("account"), of: store, options, on: reactor, logger: logger, metrics: metrics)
      var count = 0
      struct Enough: Error {}
      do {
        try await subscription.run { events in
          for event in events where [mine, yours].contains(event.stream.id) {
            count += 1
            print("  log index \(event.index.map { "\($0)" } ?? ""): \(event.stream) \(event.type)")
          }
          if count >= 5 { throw Enough() }
        }
      } catch is Enough {}
      sequencing.cancel()
      await sequencing.value
      await pool.close()
    }
    print("done")
    fflush(nil)
    _exit(0)
  }
}
