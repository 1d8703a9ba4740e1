extension Program {
  func help(for command: Command, path: [String]) -> String {
    var text = "\(command.summary)\n\nUsage: \(path.joined(separator: " "))"
    let positional = command.options.filter { $0.kind == .positional }
    let named = command.options.filter { $0.kind != .positional }
    if command.body == nil {
      text += " <command>"
    } else {
      text += positional.map { $0.isRequired ? " <\($0.name)>" : " [\($0.name)]" }.joined() + " [options]"
    }
    text += Self.table("Commands", command.subcommands.map { ($0.name, $0.summary) })
    text += Self.table("Arguments", positional.map { ("<\($0.name)>", Self.help(for: $0)) })
    text += Self.table("Options", named.map { (Self.usage(of: $0), Self.help(for: $0)) })
    if command.body != nil {
      text += Self.table(sharedTitle, sharedOptions.map { (Self.usage(of: $0), Self.help(for: $0)) })
    } else if path.count == 1 {
      text += Self.table(
        "Also",
        [
          ("\(root.name) <command> --help", "the command's arguments, options, settings and examples"),
          ("\(root.name) completion bash|zsh|fish", "a completion script on standard output"),
          ("\(root.name) --version", "the version"),
        ])
    }
    text += Self.table("Examples", command.examples.map { ($0.line, $0.meaning) })
    return text
  }

  private static func usage(of option: OptionDescription) -> String {
    let short = option.short.map { "-\($0), " } ?? ""
    return "\(short)--\(option.name)" + (option.kind == .flag ? "" : " \(option.placeholder)")
  }

  private static func help(for option: OptionDescription) -> String {
    option.help + (option.fallback.isEmpty ? "" : " (default \(option.fallback))")
  }

  /// A title and its rows. If the first column of a row is too wide, it gets its own line.
  private static func table(_ title: String, _ rows: [(String, String)]) -> String {
    guard !rows.isEmpty else { return "" }
    let width = min(34, rows.map(\.0.count).max() ?? 0)
    let lines = rows.map { left, right in
      left.count <= width
        ? "  \(left)\(String(repeating: " ", count: width - left.count))  \(right)"
        : "  \(left)\n\(String(repeating: " ", count: width + 4))\(right)"
    }
    return "\n\n\(title):\n" + lines.joined(separator: "\n")
  }
}
