import Configuration
import Glibc
import HTTPServer
import Lifecycle
import Logging
import Reactor
import Services

/// A process that runs features: their routes on serving reactors, their workers on a reactor of their own.
struct Server {
  let runtime: Runtime
  /// The features that this process runs.
  let features: [any Feature]
  let port: Int

  /// Runs until SIGTERM or SIGINT, or until a part fails.
  func run() async throws {
    let parts = try parts()
    for feature in features { try await feature.prepare(parts.background) }
    let connections = features.reduce(into: Connections()) { $0.formUnion($1.connections) }
    let poolSize = runtime.settings[ConnectionSettings.postgresPool]
    await withTaskGroup { group in
      for context in parts.contexts { group.addTask { await context.start(connections, poolSize: poolSize) } }
    }
    let operationsPort = parts.serving.isEmpty ? port : runtime.settings[HTTPSettings.operationsPort]
    let url = parts.serving.isEmpty ? "none" : "http://\(runtime.settings[HTTPSettings.address]):\(port)"
    runtime.logger.notice(
      "Serving",
      metadata: [
        "url": url, "operations": "http://\(operationsAddress):\(operationsPort)",
        "reactors": "\(parts.serving.count)", "features": features.map(\.name).joined(separator: ", "),
      ])
    try await ServiceGroup(
      parts.listeners + parts.workers, stop: parts.stop, on: parts.background.reactor, logger: runtime.logger
    ).run()
    for context in parts.contexts { await context.close() }
  }

  /// Everything that the process runs, made and not started.
  struct Parts {
    let stop: StopSignal
    let serving: [Context]
    let background: Context
    /// The API, if the process has one, and the operators' port.
    let listeners: [any Service]
    let workers: [any Worker]
    var contexts: [Context] { serving + [background] }
  }

  func parts() throws -> Parts {
    let stop = StopSignal()
    let background = try runtime.context(on: runtime.reactor("background"))
    var names: Set<String> = []
    let workers = try features.flatMap { try $0.workers(background) }.filter { names.insert($0.name).inserted }
    // A process without routes of its own has operators' routes only: one loop is enough.
    let hasCalls = try features.contains { try !$0.calls(background).isEmpty }
    let hasRoutes = try hasCalls || features.contains { try !$0.routes(background).isEmpty }
    let serving = hasRoutes ? try servingReactors.map { try runtime.context(on: $0) } : []
    /// - Parameter isPublic: A worker's problem may name servers: clients of the API are not told.
    func workerChecks(isPublic: Bool) -> [Check] {
      workers.map { worker in
        // Requests never wait for a worker: one that stands still takes no requests from the services.
        Check(worker.name, isRequired: !hasRoutes && worker.isRequired, isPublic: isPublic) {
          if let problem = await worker.problem { throw CheckProblem(problem) }
          return "works"
        }
      }
    }
    let apiChecks = hasRoutes ? try features.flatMap { try $0.checks(background) } : []
    let operators = try HTTPService(
      options(operationsAddress, hasRoutes ? runtime.settings[HTTPSettings.operationsPort] : port), name: "operations",
      contexts: [background]
    ) { context in
      try Operations(context, checks: apiChecks + workerChecks(isPublic: true), described: [], stop: stop).operators
    }
    guard hasRoutes else {
      return Parts(stop: stop, serving: [], background: background, listeners: [operators], workers: workers)
    }
    let api = try HTTPService(options(runtime.settings[HTTPSettings.address], port), contexts: serving, isLimited: true)
    { context in
      let groups = try features.flatMap { try $0.routes(context) }
      let checks = try features.flatMap { try $0.checks(context) } + workerChecks(isPublic: false)
      return try groups + Operations(context, checks: checks, described: groups, stop: stop).open
    }
    var listeners: [any Service] = [api, operators]
    if hasCalls {
      listeners.append(
        RPCListener(serving) { context in try features.flatMap { try $0.calls(context) } })
    }
    return Parts(stop: stop, serving: serving, background: background, listeners: listeners, workers: workers)
  }

  private var operationsAddress: String {
    runtime.settings[HTTPSettings.operationsAddress]
  }

  private func options(_ address: String, _ port: Int) -> HTTPServerOptions {
    HTTPServerOptions(address: address, port: UInt16(port), runtime.settings, logger: runtime.logger)
  }

  private var servingReactors: [Reactor] {
    (0..<runtime.settings.servingReactors).map { runtime.reactor("serve-\($0)") }
  }
}
