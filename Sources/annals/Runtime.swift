public import CommandLine
import Configuration
import Files
import Glibc
import Logging
import Metrics
import Reactor
import Services

/// The start of every command: settings, log, metrics, and the context of a reactor.
struct Runtime: Sendable {
  static let version = "0.1.0"

  let settings: Configuration
  let logger: Logger
  let metrics = MetricsRegistry()
  private let shared: Context.Shared
  /// There is a shared secret, to sign tokens with.
  var hasSecret: Bool { shared.keys.hasSecret }

  init(_ arguments: Arguments) throws {
    var flags = arguments.shared
    let environment = Self.environment
    let path = flags.removeValue(forKey: "config") ?? environment["ANNALS_CONFIG"]
    settings = try Configuration(
      Self.allSettings, file: try path.map { try SettingsFile(path: $0) }, environment: environment,
      ignoring: ["ANNALS_ENGINES", "ANNALS_CONFIG"], flags: flags)
    let form: StandardErrorLog.Form? =
      switch settings[LogSettings.form] {
      case .auto: nil
      case .text: .text
      case .json: .json
      }
    logger = Logger(label: "annals", level: settings[LogSettings.level], handler: StandardErrorLog(form: form))
    if !settings[LogSettings.coreDumps] {
      // One byte, not none: a limit of 0 does not hold where the system passes dumps to a program (core(5)).
      var none = rlimit(rlim_cur: 1, rlim_max: 1)
      setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    }
    shared = Context.Shared(settings, metrics: metrics)
    for warning in settings.warnings {
      logger.warning("A setting should be looked at", metadata: [.error: "\(warning)"])
    }
  }

  /// Every setting of the program. A feature's are declared in its folder.
  static let allSettings: [SettingDescription] =
    ConnectionSettings.all + HTTPSettings.all + LimitSettings.all + Features.all.flatMap(\.settings) + LogSettings.all

  func reactor(_ name: String) -> Reactor { Reactor(name: name, logger: logger, metrics: metrics) }

  /// All that a reactor owns. Nothing is connected yet.
  func context(on reactor: Reactor) throws -> Context {
    try Context(
      settings: settings, features: Features.all, version: Self.version, shared: shared, on: reactor, logger: logger,
      metrics: metrics)
  }

  /// Runs a body on a reactor of its own.
  func run<Value: Sendable>(
    _ name: String, _ body: @Sendable (Context) async throws -> Value
  ) async throws -> Value {
    let reactor = reactor(name)
    return try await reactor.run { try await body(try context(on: reactor)) }
  }

  private static var environment: [String: String] {
    var variables: [String: String] = [:]
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      if let equals = text.firstIndex(of: "=") {
        variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
      }
      next += 1
    }
    return variables
  }
}

enum LogSettings {
  enum Form: String, CaseIterable, ArgumentValue { case auto, text, json }

  static let level = Setting("log.level", default: LogLevel.info, "The least severe messages that are logged.")
  static let form = Setting(
    "log.form", default: Form.auto, "Form of the log: text, json, or auto (text on a terminal, json elsewhere).")

  static let coreDumps = Setting(
    "process.core-dumps", default: false,
    "Whether the system may write the process's memory to a file when it crashes. It has secrets, and documents.")

  static let all: [SettingDescription] = [level.description, form.description, coreDumps.description]
}

extension LogLevel: ArgumentValue {}
