import CommandLine
import Configuration
import Glibc
import Services

@main
struct Annals {
  static func main() async {
    prepare()
    let arguments = Swift.CommandLine.arguments
    if arguments.dropFirst().first == SealPreparation.command {
      leave(SealPreparation.run())
    }
    do {
      try await program.parse(Array(arguments.dropFirst())).run()
      leave(0)
    } catch let error as UsageError {
      fail("\(error)", status: 64)  // EX_USAGE
    } catch let error as ConfigurationError {
      fail("\(error)", status: 78)  // EX_CONFIG
    } catch {
      fail("\(error)", status: 1)
    }
  }

  /// A closed pipe or connection is an error to handle, never the end of the process. Each client needs a descriptor: as
  /// many are used as the system allows.
  private static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  private static let program = Program(
    root: Command(
      "annals", "Annals keeps documents as events and streams every change, without loss.",
      examples: [
        ("annals all", "everything in one process"),
        ("annals doctor", "check every dependency"),
        ("annals serve --port 8005", "only the API, on another port"),
      ],
      subcommands: [
        Commands.all, Commands.serve, Commands.relay, Commands.project, Commands.migrate, Commands.adopt, Commands.load,
        Commands.verify, Commands.trace, Commands.rebuild, Commands.sweep, Commands.doctor, Commands.settings,
        Commands.metrics,
        Commands.openAPI, Commands.routes, Commands.token,
      ]),
    version: Runtime.version, sharedTitle: "Settings (also ANNALS_… in the environment, or in a file)",
    sharedOptions: [
      OptionDescription(
        name: "config", short: nil, kind: .option, placeholder: "FILE", help: "YAML file with settings (ANNALS_CONFIG)",
        fallback: "", isRequired: false, check: { _ in nil })
    ]
      + Runtime.allSettings.map { setting in
        OptionDescription(
          name: setting.key, short: nil, kind: .option, placeholder: setting.placeholder, help: setting.meaning,
          fallback: setting.fallback, isRequired: false, check: { _ in nil })
      })

  private static func fail(_ message: String, status: Int32) -> Never {
    let line = Array("annals: \(message)\n".utf8)
    line.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    leave(status)
  }
}

/// The commands of the program, one file each.
enum Commands {}

/// Ends the process without exit handlers: loops and threads are still running and would use what those destroy.
func leave(_ status: Int32) -> Never {
  fflush(nil)
  _exit(status)
}
