import CommandLine
import Configuration
import Metrics
import Services

extension Commands {
  static let metrics = Command("metrics", "Print every metric as a Markdown table.") { arguments in
    let runtime = try Runtime(arguments)
    // Every part declares its metrics when it is made; nothing is started.
    _ = try Server(runtime: runtime, features: Features.all, port: runtime.settings[HTTPSettings.port]).parts()
    print(runtime.metrics.reference)
  }
}
