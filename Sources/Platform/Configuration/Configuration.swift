import CommandLine
import Spelling

/// The settings of one run. Flags override the environment, the environment the file, and the file the defaults. A secret may be `file:PATH`:
/// the content of that file, read again when it changes.
public struct Configuration: Sendable {
  private let values: [String: String]
  /// Secrets that are in files.
  private let files: [String: SecretFile]
  /// Variables of the environment that name no setting. Others put such variables there too: Kubernetes, for each service
  /// whose name begins with “annals”.
  public let warnings: [ConfigurationError]

  /// Checks every value. Refuses unknown names in the file; the command line checks its own flags.
  ///
  /// - Parameters:
  ///   - environment: Only variables that begin with `ANNALS_` are read.
  ///   - ignoring: Variables with that prefix that belong to other programs.
  public init(
    _ settings: [SettingDescription], file: SettingsFile? = nil, environment: [String: String] = [:],
    ignoring: Set<String> = [], flags: [String: String] = [:]
  ) throws(ConfigurationError) {
    var values: [String: String] = [:]
    var files: [String: SecretFile] = [:]
    func take(_ value: String, _ setting: SettingDescription, place: String, name: String) throws(ConfigurationError) {
      files[setting.key] = nil
      if setting.isSecret, value.hasPrefix(Self.inFile) {
        let path = String(value.dropFirst(Self.inFile.count))
        do { files[setting.key] = try SecretFile(path: path, check: setting.check) } catch {
          // A secret that happens to begin like this is not shown either.
          throw .malformed(name, value: "\(Self.inFile)…", place: place, expected: error.text)
        }
      } else {
        values[setting.key] = try Self.checked(value, setting, place: place, name: name)
      }
    }
    var warnings: [ConfigurationError] = []
    let keys = settings.map(\.key)
    for entry in file?.entries ?? [] {
      let place = "\(file?.name ?? ""):\(entry.line)"
      guard let setting = settings.first(where: { $0.key == entry.key }) else {
        throw ConfigurationError.unknown(entry.key, place: place, nearest: nearest(to: entry.key, in: keys))
      }
      try take(entry.value, setting, place: place, name: setting.key)
    }
    for (variable, value) in environment.sorted(by: { $0.key < $1.key })
    where variable.hasPrefix("ANNALS_") && !ignoring.contains(variable) {
      guard let setting = settings.first(where: { $0.variable == variable }) else {
        let nearest = nearest(to: variable, in: settings.map(\.variable))
        warnings.append(.unknown(variable, place: "environment", nearest: nearest))
        continue
      }
      try take(value, setting, place: "environment", name: variable)
    }
    for (key, value) in flags.sorted(by: { $0.key < $1.key }) {
      guard let setting = settings.first(where: { $0.key == key }) else { continue }
      try take(value, setting, place: "command line", name: "--\(key)")
      if setting.isSecret, files[key] == nil { warnings.append(.visible(key)) }
    }
    (self.values, self.files, self.warnings) = (values, files, warnings)
  }

  /// A secret setting's value may begin with this and name a file, whose content is the value.
  public static let inFile = "file:"

  /// - Returns: Of a secret in a file, what the file has now.
  public subscript<Value>(_ setting: Setting<Value>) -> Value {
    (files[setting.key]?.value ?? values[setting.key]).flatMap { Value(argument: $0) } ?? setting.fallback
  }

  /// Secrets whose files have something else now than what is used, and why, by key.
  public var secretProblems: [(key: String, problem: String)] {
    files.compactMap { key, file in file.problem.map { (key, $0) } }.sorted { $0.key < $1.key }
  }

  private static func checked(
    _ value: String, _ setting: SettingDescription, place: String, name: String
  ) throws(ConfigurationError) -> String {
    guard let expected = setting.check(value) else { return value }
    throw .malformed(name, value: setting.isSecret ? "…" : value, place: place, expected: expected)
  }

  /// All settings as a Markdown table.
  public static func reference(_ settings: [SettingDescription]) -> String {
    let rows = settings.map { setting in
      let fallback = setting.fallback.isEmpty ? "" : "`\(setting.fallback)`"
      let kind = setting.placeholder.split(separator: "|").joined(separator: ", ")
      return "| `\(setting.key)` | `\(setting.variable)` | \(kind) | \(fallback) | \(setting.meaning) |"
    }
    return "| Setting | Variable | Value | Default | Meaning |\n|---|---|---|---|---|\n"
      + rows.joined(separator: "\n")
  }
}

public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  case unknown(String, place: String, nearest: String?)
  case malformed(String, value: String, place: String, expected: String)
  case file(String, line: Int?, problem: String)
  /// A secret on the command line, which everybody on the machine sees.
  case visible(String)

  public var description: String {
    switch self {
    case .unknown(let name, let place, let nearest):
      "\(place): there is no setting \(name)"
        + (nearest.map { "; did you mean \($0)?" } ?? "; `annals settings` lists all")
    case .malformed(let name, let value, let place, let expected):
      "\(place): \(name): “\(value)” is not \(expected)"
    case .visible(let key):
      "--\(key) is a secret, and everybody on this machine sees command lines: use the environment, a settings file, or file:PATH"
    case .file(let name, let line, let problem): "\(name)\(line.map { ":\($0)" } ?? ""): \(problem)"
    }
  }
}
