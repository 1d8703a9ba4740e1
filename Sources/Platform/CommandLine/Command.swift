import Spelling

/// A command or a group of commands, as a value.
public struct Command: Sendable {
  public let name: String
  public let summary: String
  /// Example command lines and their meaning.
  public let examples: [(line: String, meaning: String)]
  public let options: [OptionDescription]
  public let subcommands: [Command]
  let body: (@Sendable (Arguments) async throws -> Void)?

  public init(
    _ name: String, _ summary: String, options: [OptionDescription] = [],
    examples: [(line: String, meaning: String)] = [], subcommands: [Command] = [],
    run body: @escaping @Sendable (Arguments) async throws -> Void
  ) {
    (self.name, self.summary, self.options, self.examples) = (name, summary, options, examples)
    (self.subcommands, self.body) = (subcommands, body)
  }

  /// Creates a group of commands, which cannot be run itself.
  public init(
    _ name: String, _ summary: String, examples: [(line: String, meaning: String)] = [], subcommands: [Command]
  ) {
    (self.name, self.summary, self.examples, self.subcommands) = (name, summary, examples, subcommands)
    (options, body) = ([], nil)
  }
}

/// An invalid command line.
public struct UsageError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The result of parsing a command line: a command to run or a text to print.
public enum Invocation: Sendable {
  case run(Command, Arguments)
  case print(String)
}

/// A program: its commands, and the options that all of them share.
public struct Program: Sendable {
  public let root: Command
  public let sharedOptions: [OptionDescription]
  public let sharedTitle: String
  public let version: String

  public init(root: Command, version: String, sharedTitle: String, sharedOptions: [OptionDescription]) {
    (self.root, self.version, self.sharedTitle, self.sharedOptions) = (root, version, sharedTitle, sharedOptions)
  }

  /// Finds the command that the words name and checks its arguments. Does not run it.
  public func parse(_ words: [String]) throws(UsageError) -> Invocation {
    var command = root
    var path = [root.name]
    var rest = words[...]
    while true {
      if let next = command.subcommands.first(where: { $0.name == rest.first }) {
        rest = rest.dropFirst()
        command = next
        path.append(next.name)
        continue
      }
      if command.body != nil { break }
      guard let word = rest.first, word != "--help", word != "-h", word != "help" else {
        return .print(help(for: command, path: path))
      }
      if path.count == 1, word == "--version" { return .print("\(root.name) \(version)") }
      if path.count == 1, word == "completion" { return .print(try completion(for: rest.dropFirst().first)) }
      let suggestion = nearest(to: word, in: command.subcommands.map(\.name)).map { "; did you mean “\($0)”?" }
      throw UsageError("there is no command “\(word)”\(suggestion ?? "; see \(path.joined(separator: " ")) --help")")
    }
    return try arguments(for: command, path: path, rest)
  }

  private func arguments(
    for command: Command, path: [String], _ words: ArraySlice<String>
  ) throws(UsageError) -> Invocation {
    var words = words
    var values: [String: String] = [:]
    var shared: [String: String] = [:]
    var positional = command.options.filter { $0.kind == .positional }[...]
    var onlyPositional = false
    while let word = words.popFirst() {
      if onlyPositional || !word.hasPrefix("-") || word == "-" {
        guard let option = positional.popFirst() else { throw UsageError("unexpected argument “\(word)”") }
        try check(option, word)
        values[option.name] = word
      } else if word == "--" {
        onlyPositional = true
      } else if word == "--help" || word == "-h" {
        return .print(help(for: command, path: path))
      } else {
        let (option, isShared, attached) = try self.option(word, of: command)
        let value: String
        if option.kind == .flag {
          guard attached == nil else { throw UsageError("--\(option.name) takes no value") }
          value = "true"
        } else if let attached {
          value = attached
        } else if let next = words.popFirst() {
          value = next
        } else {
          throw UsageError("--\(option.name) needs a value: \(option.placeholder)")
        }
        try check(option, value)
        let previous =
          isShared ? shared.updateValue(value, forKey: option.name) : values.updateValue(value, forKey: option.name)
        guard previous == nil else { throw UsageError("--\(option.name) is given twice") }
      }
    }
    if let missing = positional.first(where: \.isRequired) {
      throw UsageError("<\(missing.name)> is missing: \(missing.help); see \(path.joined(separator: " ")) --help")
    }
    return .run(command, Arguments(values: values, shared: shared))
  }

  private func option(
    _ word: String, of command: Command
  ) throws(UsageError) -> (OptionDescription, isShared: Bool, attached: String?) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let given = String(parts[0])
    let attached = parts.count == 2 ? String(parts[1]) : nil
    func matches(_ option: OptionDescription) -> Bool {
      option.kind != .positional && (given == "--\(option.name)" || option.short.map { given == "-\($0)" } ?? false)
    }
    if let own = command.options.first(where: matches) { return (own, false, attached) }
    if let shared = sharedOptions.first(where: matches) { return (shared, true, attached) }
    let known = (command.options.filter { $0.kind != .positional } + sharedOptions).map { "--\($0.name)" }
    throw UsageError(
      "there is no option \(given)" + (nearest(to: given, in: known).map { "; did you mean \($0)?" } ?? ""))
  }

  private func check(_ option: OptionDescription, _ value: String) throws(UsageError) {
    guard let expected = option.check(value) else { return }
    let name = option.kind == .positional ? "<\(option.name)>" : "--\(option.name)"
    throw UsageError("\(name): “\(value)” is not \(expected)")
  }
}

extension Invocation {
  /// Runs the command or prints the text.
  public func run() async throws {
    switch self {
    case .print(let text): Swift.print(text)
    case .run(let command, let arguments): try await command.body?(arguments)
    }
  }
}
