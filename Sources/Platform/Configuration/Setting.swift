public import CommandLine

/// One setting, declared once: its key, default, unit and meaning. The key `http.port` is `ANNALS_HTTP_PORT` in the
/// environment, `http:` / `port:` in the settings file and `--http.port` on the command line.
public struct Setting<Value: ArgumentValue>: Sendable {
  public let key: String
  public let fallback: Value
  public let description: SettingDescription

  /// - Parameters:
  ///   - isSecret: The value is never shown, not even in errors.
  ///   - remedy: Completes the error “… is not” if `accepts` refuses the value: “a port from 1 to 65535”.
  public init(
    _ key: String, default fallback: Value, isSecret: Bool = false, _ meaning: String,
    accepts: (@Sendable (Value) -> Bool)? = nil, remedy: String = ""
  ) {
    (self.key, self.fallback) = (key, fallback)
    description = SettingDescription(
      key: key, placeholder: Value.placeholder, fallback: fallback.argument, isSecret: isSecret, meaning: meaning,
      check: { text in
        guard let value = Value(argument: text) else { return Value.expectation }
        return accepts?(value) ?? true ? nil : remedy
      })
  }
}

/// The description of a setting, independent of its type.
public struct SettingDescription: Sendable {
  public let key: String
  public let placeholder: String
  public let fallback: String
  public let isSecret: Bool
  public let meaning: String
  /// Returns nil for a valid text, otherwise a description of a valid one: “a whole number”.
  public let check: @Sendable (String) -> String?

  public var variable: String {
    "ANNALS_" + key.map { $0 == "." || $0 == "-" ? "_" : $0.uppercased() }.joined()
  }
}
