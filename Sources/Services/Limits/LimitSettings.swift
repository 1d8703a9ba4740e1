import CommandLine
public import Configuration

/// How much clients may ask for.
public enum LimitSettings {
  static let requests = Setting(
    "limits.requests", default: 0,
    "Requests of one client to one route in limits.window. More are answered with 429. 0: no limit.",
    accepts: { (0...10_000_000).contains($0) }, remedy: "a number from 0 to 10000000")
  static let window = Setting(
    "limits.window", default: Duration.seconds(60), "The time over which limits.requests is counted: it slides.",
    accepts: { (.seconds(1)...(.seconds(86_400))).contains($0) }, remedy: "a duration from 1s to 24h")
  static let concurrency = Setting(
    "limits.concurrency", default: 1_024,
    "Requests that a reactor works on at most; fewer while they take longer than limits.latency. More: 503. 0: no limit.",
    accepts: { (0...1_000_000).contains($0) }, remedy: "a number from 0 to 1000000")
  static let latency = Setting(
    "limits.latency", default: Duration.milliseconds(500),
    "How long requests may take before fewer are taken at a time.",
    accepts: { $0 >= .milliseconds(1) }, remedy: "a duration of at least 1ms")

  public static let all: [SettingDescription] = [
    requests.description, window.description, concurrency.description, latency.description,
  ]
}
