import CommandLine
import Configuration
import Glibc

@main
struct Annals {
  static func main() async {
    do {
      try await Commands.program.parse(Array(Swift.CommandLine.arguments.dropFirst())).run()
      leave(0)
    } catch let error as UsageError {
      fail("\(error)", status: 64)  // EX_USAGE
    } catch let error as ConfigurationError {
      fail("\(error)", status: 78)  // EX_CONFIG
    } catch {
      fail("\(error)", status: 1)
    }
  }

  private static func fail(_ message: String, status: Int32) -> Never {
    let line = Array("annals: \(message)\n".utf8)
    line.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    leave(status)
  }
}

/// Ends the process without running exit handlers: loops and pool threads still run and would trip over what those tear
/// down.
func leave(_ status: Int32) -> Never {
  fflush(nil)
  _exit(status)
}
