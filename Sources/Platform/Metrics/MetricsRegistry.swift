import Synchronization

/// The metrics of one process by name. It is passed as an argument; there is no global registry.
///
/// A request with a known name, kind and labels returns the existing metric. A name keeps its first kind and help text.
public final class MetricsRegistry: Sendable {
  private enum Metric {
    case counter(Counter), gauge(Gauge), histogram(Histogram)
  }
  public enum Kind: String, Sendable { case counter, gauge, histogram }

  private struct Family {
    let kind: Kind
    let labels: [String]
    let help: String
    var metrics: [(labels: String, metric: Metric)] = []
  }
  private struct State {
    var families: [String: Family] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  public func counter(_ name: String, _ labels: KeyValuePairs<String, String> = [:], help: String) -> Counter {
    let new = Metric.counter(Counter())
    guard case .counter(let counter) = register(name, .counter, labels, help, new) else { return Counter() }
    return counter
  }

  public func gauge(_ name: String, _ labels: KeyValuePairs<String, String> = [:], help: String) -> Gauge {
    let new = Metric.gauge(Gauge())
    guard case .gauge(let gauge) = register(name, .gauge, labels, help, new) else { return Gauge() }
    return gauge
  }

  /// - Parameter bounds: Upper bounds of the buckets, ascending.
  public func histogram(
    _ name: String, _ labels: KeyValuePairs<String, String> = [:], bounds: [Double], help: String
  ) -> Histogram {
    let new = Metric.histogram(Histogram(bounds: bounds))
    guard case .histogram(let histogram) = register(name, .histogram, labels, help, new) else {
      return Histogram(bounds: bounds)
    }
    return histogram
  }

  /// A histogram of durations in seconds; its bounds double from half a millisecond to 16 s.
  public func timer(_ name: String, _ labels: KeyValuePairs<String, String> = [:], help: String) -> Histogram {
    histogram(name, labels, bounds: (0..<16).map { 0.0005 * Double(1 << $0) }, help: help)
  }

  /// Declares a metric whose label values are known only later, so that `reference` lists it.
  public func declare(_ kind: Kind, _ name: String, labels: [String], help: String) {
    state.withLock { state in
      if state.families[name] == nil { state.families[name] = Family(kind: kind, labels: labels, help: help) }
    }
  }

  /// All metrics as a Markdown table, by name.
  public var reference: String {
    let rows = state.withLock { state in
      state.families.sorted { $0.key < $1.key }.map { name, family in
        let labels = family.labels.map { "`\($0)`" }.joined(separator: ", ")
        return "| `\(name)` | \(family.kind.rawValue) | \(labels) | \(family.help) |"
      }
    }
    return "| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n" + rows.joined(separator: "\n")
  }

  private func register(
    _ name: String, _ kind: Kind, _ labels: KeyValuePairs<String, String>, _ help: String, _ new: sending Metric
  ) -> Metric {
    let text = labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
    return state.withLock { state in
      var family = state.families[name] ?? Family(kind: kind, labels: labels.map(\.key), help: help)
      if let known = family.metrics.first(where: { $0.labels == text }) { return known.metric }
      family.metrics.append((text, new))
      state.families[name] = family
      return new
    }
  }

  private static func escaped(_ value: String) -> String {
    value.reduce(into: "") { text, character in
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.append(character)
      }
    }
  }

  /// All metrics in Prometheus' text format 0.0.4, by name.
  public func prometheusText() -> String {
    state.withLock { state in
      var text = ""
      for (name, family) in state.families.sorted(by: { $0.key < $1.key }) where !family.metrics.isEmpty {
        text += "# HELP \(name) \(family.help)\n# TYPE \(name) \(family.kind.rawValue)\n"
        for (labels, metric) in family.metrics { Self.render(name, labels, metric, into: &text) }
      }
      return text
    }
  }

  private static func render(_ name: String, _ labels: String, _ metric: Metric, into text: inout String) {
    let braced = labels.isEmpty ? "" : "{\(labels)}"
    switch metric {
    case .counter(let counter): text += "\(name)\(braced) \(counter.value)\n"
    case .gauge(let gauge):
      let value = gauge.value
      let whole = Int(exactly: value).map { "\($0)" }
      text += "\(name)\(braced) \(whole ?? "\(value)")\n"
    case .histogram(let histogram):
      let prefix = labels.isEmpty ? "" : "\(labels),"
      var running = 0
      for (index, count) in histogram.counts.enumerated() {
        running += count
        let bound = index < histogram.bounds.count ? "\(histogram.bounds[index])" : "+Inf"
        text += "\(name)_bucket{\(prefix)le=\"\(bound)\"} \(running)\n"
      }
      text += "\(name)_sum\(braced) \(histogram.sum)\n\(name)_count\(braced) \(running)\n"
    }
  }
}
