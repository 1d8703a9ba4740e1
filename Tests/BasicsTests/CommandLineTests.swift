import CommandLine
import Configuration
import Logging
import Metrics
import Testing

@Suite("A command line", .timeLimit(.minutes(5))) struct CommandLineTests {
  static let limit = Option<Int>("limit", short: "l", default: 10, "How many.")
  static let quiet = Option<Bool>(flag: "quiet", "Say less.")
  static let file = Option<String>(argument: "file", "What to read.")
  static let program = Program(
    root: Command(
      "tool", "A tool.",
      subcommands: [
        Command("read", "Reads.", options: [file.description, limit.description, quiet.description]) { _ in },
        Command("group", "Groups.", subcommands: [Command("inner", "Inside.") { _ in }]) { _ in },
      ]),
    version: "1", sharedTitle: "Settings",
    sharedOptions: [
      OptionDescription(
        name: "http.port", short: nil, kind: .option, placeholder: "N", help: "Port.", fallback: "1",
        isRequired: false, check: { _ in nil })
    ])

  private func arguments(_ line: String) throws -> Arguments {
    guard case .run(_, let arguments) = try Self.program.parse(line.split(separator: " ").map(String.init)) else {
      throw UsageError("nothing to run")
    }
    return arguments
  }

  @Test("gives options, flags and arguments with their types")
  func values() throws {
    let given = try arguments("read notes -l 3 --quiet --http.port=9")
    #expect(given[Self.limit] == 3)
    #expect(given[Self.quiet])
    #expect(given[Self.file] == "notes")
    #expect(given.shared == ["http.port": "9"])
    #expect(try arguments("read -- --odd")[Self.file] == "--odd")
    #expect(try arguments("read a")[Self.limit] == 10)
  }

  @Test(
    "is refused with the word concerned and the nearest known one",
    arguments: [
      ("raed x", "there is no command “raed”; did you mean “read”?"),
      ("read x --limt 3", "there is no option --limt; did you mean --limit?"),
      ("read x --limit three", "--limit: “three” is not a whole number"),
      ("read x --limit", "--limit needs a value: N"),
      ("read x --limit 1 --limit 2", "--limit is given twice"),
      ("read x y", "unexpected argument “y”"),
      ("read --quiet=1 x", "--quiet takes no value"),
      ("read", "<file> is missing: What to read.; see tool read --help"),
    ])
  func errors(_ line: String, _ message: String) {
    let error = #expect(throws: UsageError.self) { try arguments(line) }
    #expect(error?.description == message)
  }

  @Test("shows help and completion for every shell")
  func texts() throws {
    for line in ["--help", "read --help", "completion bash", "completion zsh", "completion fish", "--version"] {
      guard case .print(let text) = try Self.program.parse(line.split(separator: " ").map(String.init)) else {
        Issue.record("\(line) prints nothing")
        continue
      }
      #expect(!text.isEmpty)
    }
  }

  @Test("reaches commands inside commands")
  func nested() throws {
    guard case .run(let command, _) = try Self.program.parse(["group", "inner"]) else {
      Issue.record("nothing to run")
      return
    }
    #expect(command.name == "inner")
  }
}

@Suite("Configuration", .timeLimit(.minutes(5))) struct ConfigurationTests {
  static let port = Setting(
    "http.port", default: 80, "Port.", accepts: { (1...65_535).contains($0) }, remedy: "a port")
  static let wait = Setting("http.wait", default: Duration.seconds(1), "Wait.")
  static let secret = Setting("http.secret", default: 0, isSecret: true, "Secret.")
  static let all = [port.description, wait.description, secret.description]

  private func configuration(
    file: String = "", environment: [String: String] = [:], flags: [String: String] = [:]
  ) throws -> Configuration {
    try Configuration(
      Self.all, file: try SettingsFile(name: "f.yaml", Array(file.utf8)), environment: environment, flags: flags)
  }

  @Test("takes flags over environment over file over defaults")
  func order() throws {
    let file = "http:\n  port: 1\n  wait: 250ms\n"
    #expect(try configuration()[Self.port] == 80)
    #expect(try configuration(file: file)[Self.port] == 1)
    #expect(try configuration(file: file)[Self.wait] == .milliseconds(250))
    #expect(try configuration(file: file, environment: ["ANNALS_HTTP_PORT": "2"])[Self.port] == 2)
    #expect(
      try configuration(file: file, environment: ["ANNALS_HTTP_PORT": "2"], flags: ["http.port": "3"])[Self.port] == 3)
  }

  @Test("refuses what it does not know, by name and line")
  func errors() {
    func message(_ body: () throws -> Configuration) -> String {
      do { _ = try body() } catch { return "\(error)" }
      return "nothing"
    }
    #expect(
      message { try configuration(file: "http:\n  prot: 1\n") }
        == "f.yaml:2: there is no setting http.prot; did you mean http.port?")
    #expect(
      message { try configuration(file: "http:\n  port: x\n") } == "f.yaml:2: http.port: “x” is not a whole number")
    #expect(message { try configuration(file: "http:\n  port: 0\n") } == "f.yaml:2: http.port: “0” is not a port")
    // Others may put variables with this prefix there: Kubernetes does.
    let lenient = try? configuration(environment: ["ANNALS_HTTP_PROT": "1", "ANNALS_HTTP_PORT": "7"])
    #expect(lenient?[Self.port] == 7)
    #expect(
      lenient?.warnings.map { "\($0)" } == [
        "environment: there is no setting ANNALS_HTTP_PROT; did you mean ANNALS_HTTP_PORT?"
      ])
    #expect(
      message { try configuration(environment: ["ANNALS_HTTP_SECRET": "hunter2"]) }
        == "environment: ANNALS_HTTP_SECRET: “…” is not a whole number")
    #expect(message { try configuration(file: "a: [1]\n") } == "f.yaml:1: lists and aliases are not supported")
    #expect(
      message { try configuration(file: "http:\n  port: 1\n  port: 2\n") }
        == "f.yaml:3: http.port is already set on line 2")
  }

  @Test("reads times and sizes with their units")
  func units() {
    #expect(Duration(argument: "2h") == .seconds(7_200))
    #expect(Duration(argument: "5") == nil)
    #expect(ByteCount(argument: "16MiB")?.bytes == 16 << 20)
    #expect(ByteCount(argument: "1.5MiB") == nil)
    #expect(ByteCount.mebibytes(3).argument == "3MiB")
    #expect(Duration.milliseconds(1_500).argument == "1500ms")
  }
}

@Suite("Logs and metrics", .timeLimit(.minutes(5))) struct ObservationTests {
  @Test("a logger drops what is below its level and keeps its own values")
  func levels() {
    let recorder = LogRecorder()
    let logger = Logger(label: "annals", level: .info, handler: recorder).labelled("part").with("view", "v")
    logger.debug("unseen")
    logger.warning("seen", metadata: [.count: "3"])
    #expect(recorder.lines.count == 1)
    #expect(recorder.lines.first?.label == "annals.part")
    #expect(recorder.lines.first?.metadata.map(\.value) == ["v", "3"])
  }

  @Test("metrics are rendered in Prometheus' text form")
  func prometheus() {
    let registry = MetricsRegistry()
    registry.counter("a_total", ["k": "x\"y"], help: "A.").increment(by: 2)
    #expect(registry.counter("a_total", ["k": "x\"y"], help: "A.").value == 2)
    registry.gauge("b", help: "B.").set(1.5)
    let timer = registry.timer("c_seconds", help: "C.")
    timer.record(.milliseconds(1))
    timer.record(.seconds(100))
    let text = registry.prometheusText()
    #expect(text.contains("# TYPE a_total counter\na_total{k=\"x\\\"y\"} 2\n"))
    #expect(text.contains("b 1.5\n"))
    #expect(text.contains("c_seconds_bucket{le=\"0.001\"} 1\n"))
    #expect(text.contains("c_seconds_bucket{le=\"+Inf\"} 2\n"))
    #expect(text.contains("c_seconds_count 2\n"))
  }
}
