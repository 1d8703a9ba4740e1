import CommandLine
import Configuration

extension Commands {
  static let settings = Command("settings", "Print every setting as a Markdown table.") { _ in
    print(Configuration.reference(Runtime.allSettings))
  }
}
