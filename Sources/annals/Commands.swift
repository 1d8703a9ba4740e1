import CommandLine
import Configuration
import EventStore
import Glibc
import HTTPClient
import Logging
import Postgres
import Projections
import Reactor
import Redis
import Relay
import Services

enum Commands {
  static let program = Program(
    root: Command(
      "annals", "Annals keeps documents as events and streams every change, without loss.",
      examples: [
        ("annals all", "everything in one process"),
        ("annals doctor", "check every dependency and setting"),
        ("annals serve --http.port 8005", "only the API, on another port"),
      ],
      subcommands: [
        all, serve, relay, project, migrate, load, verify, doctor, settings,
      ]),
    version: Runtime.version, sharedTitle: "Settings (also ANNALS_… in the environment, or in a file)",
    sharedOptions: [
      OptionDescription(
        name: "config", short: nil, kind: .option, placeholder: "FILE", help: "YAML file with settings (ANNALS_CONFIG)",
        fallback: "", isRequired: false, check: { _ in nil })
    ]
      + Settings.all.map { setting in
        OptionDescription(
          name: setting.key, short: nil, kind: .option, placeholder: setting.placeholder, help: setting.meaning,
          fallback: setting.isSecret ? "" : setting.fallback, isRequired: false, check: { _ in nil })
      })

  // MARK: Running

  static let serve = Command(
    "serve", "Serve the REST API.",
    examples: [("annals serve", "on 127.0.0.1 port 28080"), ("annals serve --http.address 0.0.0.0", "for everybody")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactors = runtime.servingReactors()
    try await ServiceGroup(
      services: [ServeService(runtime: runtime, reactors: reactors)], reactor: reactors[0], logger: runtime.logger
    ).run()
  }

  static let relay = Command(
    "relay", "Publish the outbox to Kafka.",
    examples: [
      ("annals relay", "with /metrics and /healthz on port 28081"),
      ("annals relay status", "how far it has come, in words"),
    ],
    subcommands: [
      Command("status", "Say in words how the relay stands.", run: relayStatus),
      Command(
        "decode", "Say what recorded pgoutput messages hold, a line of JSON each.", options: [recording.description],
        examples: [
          (
            "annals relay decode FILE",
            "lines of LSN, transaction and hexadecimal bytes, as pg_logical_slot_peek_binary_changes() gives them"
          )
        ], run: relayDecode),
      parked,
    ]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("relay")
    let relay = try Relay(runtime.relay, on: reactor, logger: runtime.logger, metrics: runtime.metrics)
    try await ServiceGroup(
      services: [
        OperationsService(
          runtime: runtime, reactor: reactor, port: runtime.configuration[Settings.relayPort],
          checks: [.relay(relay)]),
        RelayService(relay: relay),
      ], reactor: reactor, logger: runtime.logger
    ).run()
  }

  static let project = Command(
    "project", "Keep the views in Elasticsearch and Redis.",
    examples: [("annals project", "with /metrics and /healthz on port 28082")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("project")
    try await ServiceGroup(
      services: [
        OperationsService(
          runtime: runtime, reactor: reactor, port: runtime.configuration[Settings.projectionPort], checks: []),
        ProjectionService(runtime: runtime, reactor: reactor),
      ], reactor: reactor, logger: runtime.logger
    ).run()
  }

  static let all = Command(
    "all", "Run everything in one process: API, relay and projections.",
    examples: [("annals all", "what `make up` starts")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactors = runtime.servingReactors()
    let pipeline = runtime.reactor("pipeline")
    let relay = try Relay(runtime.relay, on: pipeline, logger: runtime.logger, metrics: runtime.metrics)
    try await ServiceGroup(
      services: [
        ServeService(runtime: runtime, reactors: reactors),
        RelayService(relay: relay),
        ProjectionService(runtime: runtime, reactor: pipeline),
      ], reactor: pipeline, logger: runtime.logger
    ).run()
  }

  // MARK: Looking after

  private static let isDryRun = Option<Bool>(flag: "dry-run", "Only say what would be applied.")

  static let migrate = Command(
    "migrate", "Bring the database to this binary's schema.", options: [isDryRun.description],
    examples: [("annals migrate --dry-run", "what would be applied")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("migrate")
    let steps = try await reactor.run {
      try await PostgresSession.with(runtime.postgres, on: reactor, logger: runtime.logger) { session in
        try await Migrator(session, logger: runtime.logger).run(isDryRun: arguments[isDryRun])
      }
    }
    for step in steps { print(arguments[isDryRun] ? "would apply" : "applied", step.version, step.name) }
    if steps.isEmpty { print("the schema is up to date") }
  }

  private static let directory = Option<String>(argument: "directory", "Folder with the files to load.")
  private static let url = Option<String>(
    "url", default: "http://127.0.0.1:28080", "Where the API is.")
  private static let limit = Option<Int>("limit", default: 100_000, "Load at most that many files.")

  static let load = Command(
    "load", "Load the files of a folder as documents, through the API.",
    options: [directory.description, url.description, limit.description],
    examples: [("annals load /usr/share/common-licenses", "real text that every Debian has")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("load")
    let client = runtime.http(on: reactor)
    let loader = CorpusLoader(client, url: arguments[url])
    let report = try await loader.load(directory: arguments[directory], limit: arguments[limit]) { done, total in
      ProgressBar.show(done, of: total, "documents")
    }
    print(
      "loaded \(report.loaded) documents, \(report.bytes) bytes, in \(report.seconds) s; \(report.failures.count) failed"
    )
    for failure in report.failures.prefix(5) { print("  \(failure)") }
    if !report.failures.isEmpty { leave(1) }
  }

  static let verify = Command(
    "verify", "Compare every view with a replay of history.",
    examples: [("annals verify", "ends with 0 where there is no difference")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("verify")
    let report = try await reactor.run {
      let pool = runtime.pool(on: reactor)
      try await pool.start(connections: 1)
      let redis = try runtime.redis(on: reactor)
      try await redis.start()
      let verifier = Verifier(
        store: EventStore(pool), pool: pool, views: runtime.views(redis: redis, client: runtime.http(on: reactor)))
      return try await verifier.run()
    }
    print("\(report.documents) documents, \(report.events) events, \(report.differences.count) differences")
    for difference in report.differences.prefix(20) { print("  \(difference)") }
    if !report.differences.isEmpty { leave(1) }
  }

  static let settings = Command("settings", "Print every setting as a Markdown table.") { _ in
    print(Configuration.reference(Settings.all))
  }
}
