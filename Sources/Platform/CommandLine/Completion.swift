extension Program {
  func completion(for shell: String?) throws(UsageError) -> String {
    switch shell {
    case "bash": return bash
    case "zsh": return zsh
    case "fish": return fish
    case let other:
      throw UsageError("completion: \(other.map { "“\($0)” is not" } ?? "name") one of bash, zsh, fish")
    }
  }

  /// Every command by its path below the root, groups included.
  private var commands: [(path: [String], command: Command)] {
    func below(_ command: Command, _ path: [String]) -> [(path: [String], command: Command)] {
      command.subcommands.flatMap { [(path + [$0.name], $0)] + below($0, path + [$0.name]) }
    }
    return below(root, [])
  }

  private func words(for command: Command) -> [String] {
    command.subcommands.map(\.name)
      + (command.body == nil
        ? [] : (command.options.filter { $0.kind != .positional } + sharedOptions).map { "--\($0.name)" })
  }

  private var bash: String {
    let cases = commands.map { path, command in
      "    \"\(path.joined(separator: " "))\") words=\"\(words(for: command).joined(separator: " "))\" ;;"
    }
    return """
      _\(root.name)() {
        local current=${COMP_WORDS[COMP_CWORD]} path="" word words=""
        for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
          case $word in -*) ;; *) path="${path:+$path }$word" ;; esac
        done
        case $path in
          "") words="\(words(for: root).joined(separator: " ")) completion --version --help" ;;
      \(cases.joined(separator: "\n"))
        esac
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
      }
      complete -o filenames -F _\(root.name) \(root.name)
      """
  }

  private var zsh: String {
    let cases = commands.map { path, command in
      "  \"\(path.joined(separator: " "))\") candidates=(\(words(for: command).joined(separator: " "))) ;;"
    }
    return """
      #compdef \(root.name)
      local -a candidates given
      given=(${${words[2,CURRENT-1]}:#-*})
      case "${(j: :)given}" in
        "") candidates=(\(words(for: root).joined(separator: " ")) completion --version --help) ;;
      \(cases.joined(separator: "\n"))
      esac
      compadd -a candidates || _files
      """
  }

  private var fish: String {
    let top = root.subcommands.map {
      "complete -c \(root.name) -n __fish_use_subcommand -f -a \($0.name) -d \(Self.quoted($0.summary))"
    }
    let below = commands.flatMap { path, command -> [String] in
      let seen = path.map { "__fish_seen_subcommand_from \($0)" }.joined(separator: "; and ")
      let subcommands = command.subcommands.map {
        "complete -c \(root.name) -n '\(seen)' -f -a \($0.name) -d \(Self.quoted($0.summary))"
      }
      let options = command.body == nil ? [] : command.options.filter { $0.kind != .positional } + sharedOptions
      return subcommands
        + options.map {
          let value = $0.kind == .flag ? "" : " -r"
          return "complete -c \(root.name) -n '\(seen)' -l \($0.name)\(value) -d \(Self.quoted($0.help))"
        }
    }
    return (top + below).joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String {
    "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "\\'") + "'"
  }
}
