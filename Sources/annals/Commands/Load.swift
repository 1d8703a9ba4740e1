import CommandLine
import Services

extension Commands {
  private static let directory = Option<String>(argument: "directory", "Folder with the files to load.")
  private static let url = Option<String>("url", default: "http://127.0.0.1:28080", "Address of the API.")
  private static let name = Option<String>("name", default: "", "Load only files of this name; all if it is missing.")
  private static let limit = Option<Int>("limit", default: 100_000, "Load at most this many files.")

  static let load = Command(
    "load", "Load the files of a folder as documents, through the API.",
    options: [directory.description, url.description, name.description, limit.description],
    examples: [
      ("annals load /usr/share/common-licenses", "real text that every Debian has"),
      ("annals load /usr/share/doc --name copyright --limit 300", "the first 300 files of this name"),
    ]
  ) { arguments in
    let report = try await Runtime(arguments).run("load") { context in
      try await CorpusLoader(context.http, url: arguments[url]).load(
        directory: arguments[directory], named: arguments[name].isEmpty ? nil : arguments[name],
        limit: arguments[limit]
      ) { done, total in ProgressBar.show(done, of: total, "documents") }
    }
    print(
      "loaded \(report.loaded) documents, \(report.bytes) bytes, in \(report.seconds) s; \(report.failures.count) failed"
    )
    for failure in report.failures.prefix(5) { print("  \(failure)") }
    if !report.failures.isEmpty { leave(1) }
  }
}
