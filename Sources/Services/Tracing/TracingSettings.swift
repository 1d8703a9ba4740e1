public import CommandLine
public import Configuration
import HTTPClient

/// Which requests are traced, and who gets to see it.
public enum TracingSettings {
  static let url = Setting(
    "tracing.otlp-url", default: "",
    "URL of an OpenTelemetry collector (OTLP over HTTP), as http://collector:4318; /v1/traces is added. Empty: no spans are sent. A password goes into tracing.otlp-headers.",
    accepts: { text in
      text.isEmpty || WebAddress(text).map { ["http", "https"].contains($0.scheme) && !$0.hasUser } ?? false
    }, remedy: "a URL that begins with http:// or https://, without a user")
  static let headers = Setting(
    "tracing.otlp-headers", default: "", isSecret: true,
    "Headers that are sent with spans, each on a line: Authorization: Bearer ….",
    accepts: { $0.split(whereSeparator: \.isNewline).allSatisfy { TraceExport.header($0) != nil } },
    remedy: "lines of the form Name: value")
  static let sample = Setting(
    "tracing.sample", default: Ratio(0),
    "Share of the requests without a traceparent that begin a trace, from 0 to 1. A request with one is traced if its sampled flag is set."
  )
  static let keep = Setting(
    "tracing.keep", default: Duration.seconds(3_600),
    "How long spans are kept in Postgres, for annals trace and for GET /events/{event}/where. 0s: they are not.",
    accepts: { $0 <= .seconds(30 * 86_400) }, remedy: "a duration of at most 720h")
  static let rate = Setting(
    "tracing.rate", default: 200,
    "How many spans a process keeps and sends in a second at most, averaged over a minute. Others are dropped and counted.",
    accepts: { (1...100_000).contains($0) }, remedy: "a number from 1 to 100000")

  public static let all: [SettingDescription] = [
    url.description, headers.description, sample.description, keep.description, rate.description,
  ]
}

/// A share of a whole, from 0 to 1.
public struct Ratio: ArgumentValue {
  public let value: Double

  public init(_ value: Double) { self.value = value }

  public static let placeholder = "SHARE"
  public static let expectation = "a number from 0 to 1, as 0.01"

  public init?(argument: String) {
    guard let value = Double(argument), value >= 0, value <= 1 else { return nil }
    self.value = value
  }

  public var argument: String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
}
