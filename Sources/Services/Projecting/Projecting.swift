public import CommandLine
public import Configuration
import Lifecycle
import Projections
import Relay

/// The projections: keep every feature's views up to date from Kafka.
public struct Projecting: Feature {
  public let name = "project"

  public init() {}

  public var settings: [SettingDescription] { ProjectionSettings.all }

  public var connections: Connections { .redis }

  public func workers(_ context: Context) throws -> [any Worker] {
    let template = try context.topicTemplate
    let instance = context.settings[ProjectionSettings.instance]
    return try context.views.map { view in
      ProjectionWorker(
        name: view.name,
        runner: ProjectionRunner(
          view, topics: view.categories.map(template.topic), kafka: context.kafka,
          group: context.settings[ProjectionSettings.group],
          instance: instance.isEmpty ? nil : instance, on: context.reactor, logger: context.logger,
          metrics: context.metrics))
    }
  }
}

private struct ProjectionWorker: Worker {
  let name: String
  let runner: ProjectionRunner

  func run(until stop: StopSignal) async throws { try await stop.cancels { await runner.run() } }
}

/// The settings of the projections.
public enum ProjectionSettings {
  static let group = Setting("projection.group", default: "annals", "Prefix of the names of the consumer groups.")
  static let instance = Setting(
    "projection.instance", default: "",
    "Name of this process in the consumer groups, kept across restarts (group.instance.id): it gets its partitions back at once. Each process needs a name of its own; empty: none."
  )
  public static let port = HTTPSettings.portSetting(
    "projection.port", default: 28_082, "Port for /metrics, /healthz and /readyz of `annals project`.")

  static let all: [SettingDescription] = [group.description, instance.description, port.description]
}
