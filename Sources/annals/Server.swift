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
    let connections = features.reduce(into: Connections()) { $0.formUnion($1.connections) }
    let poolSize = runtime.settings[ConnectionSettings.postgresPool]
    await withTaskGroup { group in
      for context in parts.contexts { group.addTask { await context.start(connections, poolSize: poolSize) } }
    }
    runtime.logger.notice(
      "Serving",
      metadata: [
        "url": "http://\(runtime.settings[HTTPSettings.address]):\(port)", "reactors": "\(parts.serving.count)",
        "features": features.map(\.name).joined(separator: ", "),
      ])
    try await ServiceGroup(
      [parts.http] + parts.workers, stop: parts.stop, on: parts.background.reactor, logger: runtime.logger
    ).run()
    for context in parts.contexts { await context.close() }
  }

  /// Everything that the process runs, made and not started.
  struct Parts {
    let stop: StopSignal
    let serving: [Context]
    let background: Context
    let http: HTTPService
    let workers: [any Worker]
    /// Each context once.
    var contexts: [Context] {
      serving.contains { $0.reactor === background.reactor } ? serving : serving + [background]
    }
  }

  func parts() throws -> Parts {
    let stop = StopSignal()
    let background = try runtime.context(on: runtime.reactor("background"))
    let workers = try features.flatMap { try $0.workers(background) }
    // A process without routes of its own has operators' routes only: one loop is enough.
    let hasRoutes = try features.contains { try !$0.routes(background).isEmpty }
    let serving = hasRoutes ? try servingReactors.map { try runtime.context(on: $0) } : [background]
    let workerChecks = workers.map { worker in
      // Requests never wait for a worker: one that stands still takes no requests from the services.
      Check(worker.name, isRequired: !hasRoutes, isPublic: true) {
        if let problem = await worker.problem { throw CheckProblem(problem) }
        return "works"
      }
    }
    let http = try HTTPService(
      HTTPServerOptions(
        address: runtime.settings[HTTPSettings.address], port: UInt16(port), runtime.settings, logger: runtime.logger),
      contexts: serving
    ) { context in
      let groups = try features.flatMap { try $0.routes(context) }
      let checks = (hasRoutes ? try features.flatMap { try $0.checks(context) } : []) + workerChecks
      return groups + Operations(context, checks: checks, described: groups, stop: stop).groups
    }
    return Parts(stop: stop, serving: serving, background: background, http: http, workers: workers)
  }

  /// One reactor for each core, or as many as the settings say.
  private var servingReactors: [Reactor] {
    let wanted = runtime.settings[HTTPSettings.reactors]
    let count = wanted == 0 ? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) : wanted
    return (0..<count).map { runtime.reactor("serve-\($0)") }
  }
}
