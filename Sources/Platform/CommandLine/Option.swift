/// An option or a positional argument of a command, declared once: the command lists it, and its body reads it by it.
public struct Option<Value: ArgumentValue>: Sendable {
  public let description: OptionDescription
  let fallback: Value?

  /// An option `--name VALUE` with a value of its own for when it is not given.
  public init(_ name: String, short: Character? = nil, default fallback: Value, _ help: String) {
    self.fallback = fallback
    description = OptionDescription(
      name: name, short: short, kind: .option, placeholder: Value.placeholder, help: help,
      fallback: fallback.argument, isRequired: false, check: Self.check)
  }

  /// An argument by position. Without a default it has to be given.
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
  /// A switch: absent or present.
  public init(flag name: String, short: Character? = nil, _ help: String) {
    fallback = false
    description = OptionDescription(
      name: name, short: short, kind: .flag, placeholder: "", help: help, fallback: "", isRequired: false,
      check: { _ in nil })
  }
}

/// What a command needs to know of an option, whatever its type.
public struct OptionDescription: Sendable {
  public enum Kind: Sendable { case option, flag, positional }
  public let name: String
  public let short: Character?
  public let kind: Kind
  public let placeholder: String
  public let help: String
  public let fallback: String
  public let isRequired: Bool
  /// What was expected, where a text is no value of the type.
  public let check: @Sendable (String) -> String?

  public init(
    name: String, short: Character?, kind: Kind, placeholder: String, help: String, fallback: String,
    isRequired: Bool, check: @escaping @Sendable (String) -> String?
  ) {
    (self.name, self.short, self.kind, self.placeholder) = (name, short, kind, placeholder)
    (self.help, self.fallback, self.isRequired, self.check) = (help, fallback, isRequired, check)
  }
}

/// The values that were given.
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
