public import HTTPServer
import JSON
public import Metrics

/// `/healthz`, `/readyz` and `/metrics`: what operators ask of every process.
public struct OperationsRoutes: Sendable {
  /// One thing a process depends on, and how to ask it.
  public struct Check: Sendable {
    public let name: String
    let body: @Sendable () async -> String?

    /// - Parameter body: Returns what is wrong; nil where nothing is.
    public init(_ name: String, _ body: @escaping @Sendable () async -> String?) {
      (self.name, self.body) = (name, body)
    }
  }

  private let metrics: MetricsRegistry
  private let checks: [Check]

  public init(metrics: MetricsRegistry, checks: [Check]) { (self.metrics, self.checks) = (metrics, checks) }

  public func add(to router: inout Router) {
    router.on(.get, "/healthz") { _ in .text("ok\n") }
    router.on(.get, "/readyz", ready)
    router.on(.get, "/metrics") { [metrics] _ in
      Response(
        200, headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
        body: .bytes(Array(metrics.prometheusText().utf8)))
    }
  }

  @Sendable
  private func ready(_ request: Request) async throws -> Response {
    var failures: [(name: String, problem: String)] = []
    for check in checks {
      if let problem = await check.body() { failures.append((check.name, problem)) }
    }
    var writer = JSONWriter()
    writer.object { writer in
      writer.member("ready", failures.isEmpty)
      writer.name("failing")
      writer.array { writer in
        for failure in failures {
          writer.element()
          writer.object {
            $0.member("name", failure.name)
            $0.member("problem", failure.problem)
          }
        }
      }
    }
    return .json(writer.bytes, status: failures.isEmpty ? 200 : 503)
  }
}
