/// An option or a positional argument of a command. Declare it once: the command lists it, its body reads its value.
public struct Option<Value: ArgumentValue>: Sendable {
  public let description: OptionDescription
  let fallback: Value?

  /// Creates an option `--name VALUE` with a default value.
  public init(_ name: String, short: Character? = nil, default fallback: Value, _ help: String) {
    self.fallback = fallback
    description = OptionDescription(
      name: name, short: short, kind: .option, placeholder: Value.placeholder, help: help,
      fallback: fallback.argument, isRequired: false, check: Self.check)
  }

  /// Creates a positional argument. Without a default it is required.
  public init(argument name: String, default fallback: Value? = nil, _ help: String) {
    self.fallback = fallback
    description = OptionDescription(
      name: name, short: nil, kind: .positional, placeholder: name.uppercased(), help: help,
      fallback: fallback?.argument ?? "", isRequired: fallback == nil, check: Self.check)
  }

  private static func check(_ text: String) -> String? {
    Value(argument: text) == nil ? Value.expectation : nil
  }
}

extension Option where Value == Bool {
  /// Creates a switch, which takes no value.
  public init(flag name: String, short: Character? = nil, _ help: String) {
    fallback = false
    description = OptionDescription(
      name: name, short: short, kind: .flag, placeholder: "", help: help, fallback: "", isRequired: false,
      check: { _ in nil })
  }
}

/// The description of an option, independent of its type.
public struct OptionDescription: Sendable {
  public enum Kind: Sendable { case option, flag, positional }
  public let name: String
  public let short: Character?
  public let kind: Kind
  public let placeholder: String
  public let help: String
  public let fallback: String
  public let isRequired: Bool
  /// Returns nil for a valid text, otherwise a description of a valid one: “a whole number”.
  public let check: @Sendable (String) -> String?

  public init(
    name: String, short: Character?, kind: Kind, placeholder: String, help: String, fallback: String,
    isRequired: Bool, check: @escaping @Sendable (String) -> String?
  ) {
    (self.name, self.short, self.kind, self.placeholder) = (name, short, kind, placeholder)
    (self.help, self.fallback, self.isRequired, self.check) = (help, fallback, isRequired, check)
  }
}

/// The arguments of one command line.
public struct Arguments: Sendable {
  private let values: [String: String]
  /// Options that all commands share, as they were given, by name.
  public let shared: [String: String]

  init(values: [String: String], shared: [String: String]) { (self.values, self.shared) = (values, shared) }

  /// The value given, or the default. The command has checked the text before its body runs.
  public subscript<Value>(_ option: Option<Value>) -> Value {
    if let text = values[option.description.name], let value = Value(argument: text) { return value }
    guard let fallback = option.fallback else {
      preconditionFailure("\(option.description.name) is read by a command that does not list it")
    }
    return fallback
  }
}
