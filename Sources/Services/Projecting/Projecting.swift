public import CommandLine
public import Configuration
import Lifecycle
public import Projections
import Redis
import Relay

/// The projections: keep every feature's views up to date from Kafka.
public struct Projecting: Feature {
  public let name = "project"

  public init() {}

  public var settings: [SettingDescription] { ProjectionSettings.all }

  public var connections: Connections { .all }

  public func workers(_ context: Context) throws -> [any Worker] {
    let world = try context.viewWorld
    return try context.keptViews.map { ProjectionWorker(name: $0.name, runner: ProjectionRunner($0, world)) }
  }
}

extension Projecting {
  public func operatorRoutes(_ context: Context) throws -> [RouteGroup] {
    [RebuildRoutes(context).group, ParkedRoutes(context).group]
  }

  public func checks(_ context: Context) throws -> [Check] {
    let registry = ViewRegistry(context.pool)
    let views = try context.keptViews.map { view in
      Check("View \(view.name)", isRequired: false) {
        let generations = try await registry.generations(of: view.name)
        guard let live = generations.first(where: { $0.state == .live }) else {
          let reason = generations.last?.reason ?? "it was never built"
          throw CheckProblem("no generation is live (\(reason)): annals project builds one")
        }
        let lag = try await context.viewWorld.lag(of: view, live)
        let building = generations.first { $0.state == .building }.map { ", generation \($0.number) is being built" }
        let parked = try await ParkedStreams(context.pool).list().filter { $0.view == view.name }
        guard parked.isEmpty else {
          throw CheckProblem("\(parked.count) streams are parked: annals project parked list (\(lag))")
        }
        return "generation \(live.number) is live, \(lag)\(building ?? "")"
      }
    }
    let redis = Check("Redis keeps what views need", isRequired: false) {
      let reply = try await context.redis.command(RedisCommand("CONFIG", "GET", "maxmemory-policy"))
      guard let policy = reply.array?.last?.text else { return "its policy may not be read (CONFIG)" }
      guard !policy.hasPrefix("allkeys") else {
        throw CheckProblem(
          "maxmemory-policy is \(policy): it would evict versions that fence the views. Set volatile-lru or noeviction")
      }
      return "maxmemory-policy \(policy)"
    }
    return views + [redis]
  }
}

extension Context {
  /// What the projections of this process share.
  public var viewWorld: ViewWorld {
    get throws {
      let template = try topicTemplate
      let instance = settings[ProjectionSettings.instance]
      return ViewWorld(
        store: store, pool: pool, postgres: postgres,
        source: ViewSource(
          kafka: kafka, group: settings[ProjectionSettings.group], instance: instance.isEmpty ? nil : instance,
          topic: template.topic),
        aggregates: features.flatMap(\.aggregates), on: reactor, logger: logger, metrics: metrics, tracer: tracer)
    }
  }

  /// The views that `projection.views` names, or all.
  public var keptViews: [any View] {
    get throws {
      let names = settings[ProjectionSettings.views].split(separator: ",").map { String($0.filter { $0 != " " }) }
      return try names.isEmpty ? views : names.map { try view($0) }
    }
  }

  /// The view of that name.
  public func view(_ name: String) throws -> any View {
    let views = try views
    guard let view = views.first(where: { $0.name == name }) else {
      throw UnknownView(name: name, views: views.map(\.name))
    }
    return view
  }
}

/// There is no view of this name.
public struct UnknownView: Error, CustomStringConvertible {
  let name: String
  let views: [String]
  public var description: String { "there is no view “\(name)”: use one of \(views.joined(separator: ", "))" }
}

private struct ProjectionWorker: Worker {
  let name: String
  let runner: ProjectionRunner

  var problem: String? { get async { runner.problem } }

  func run(until stop: StopSignal) async throws { try await stop.cancels { await runner.run() } }
}

/// The settings of the projections.
public enum ProjectionSettings {
  static let group = Setting("projection.group", default: "annals", "Prefix of the names of the consumer groups.")
  static let instance = Setting(
    "projection.instance", default: "",
    "Name of this process in the consumer groups, kept across restarts (group.instance.id): it gets its partitions back at once. Each process needs a name of its own; empty: none."
  )
  static let views = Setting(
    "projection.views", default: "",
    "The views that this process keeps, or compares, separated by commas; empty: all. Each view needs a process that keeps it."
  )
  public static let port = HTTPSettings.portSetting(
    "projection.port", default: 28_082, "Port for /metrics, /healthz and /readyz of `annals project`.")

  static let all: [SettingDescription] = [group.description, instance.description, views.description, port.description]
}
