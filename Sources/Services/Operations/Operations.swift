import Configuration
import HTTPServer
public import JSON
public import Lifecycle
import Metrics
import Resilience

/// The routes for operators and probes: `/healthz`, `/livez`, `/readyz`, `/metrics`, and the API's description.
public struct Operations: Sendable {
  private let context: Context
  private let checks: [Check]
  private let stop: StopSignal
  private let described: [RouteGroup]
  /// Operators' routes of all features of the program.
  private let features: [RouteGroup]
  private let isDevelopment: Bool
  private let required: RecentResults
  private let all: RecentResults

  /// - Parameters:
  ///   - checks: What the process depends on.
  ///   - described: The other routes of the process, for the description.
  public init(_ context: Context, checks: [Check], described: [RouteGroup], stop: StopSignal) throws {
    features = try context.features.flatMap { try $0.operatorRoutes(context) }
    isDevelopment = context.settings[IdentitySettings.mode] == .development
    (self.context, self.checks, self.described, self.stop) = (context, checks, described, stop)
    (required, all) = (
      RecentResults(on: context.reactor, logger: context.logger),
      RecentResults(on: context.reactor, logger: context.logger)
    )
  }

  /// For everybody, beside the API.
  public var open: [RouteGroup] { [probes, description] }

  /// For operators, on a port of their own.
  public var operators: [RouteGroup] { [probes, metrics] + features }

  /// All of them.
  public var everything: [RouteGroup] { [probes, description, metrics] + features }

  private var probes: RouteGroup {
    RouteGroup(
      "Health", prefixes: [""], middleware: [],
      routes: [
        Self.alive("/healthz"),
        Self.alive("/livez"),
        Route(
          .get, "/readyz", "Says whether the process can take requests.", right: .anyone,
          ignoresQuery: true,
          answers: [
            Answer(200, "It can.", schema: Self.readinessSchema),
            Answer(503, "It cannot.", schema: Self.readinessSchema),
          ],
          Input<String?>(query: "verbose", "With any value: run all checks, not only the required ones."),
          handler: ready),
      ])
  }

  private static func alive(_ path: String) -> Route {
    Route(
      .get, path, "Says that the process runs.", right: .anyone, ignoresQuery: true,
      answers: [Answer(200, "It runs.", schema: .string(), mediaType: "text/plain")]
    ) { _ in .text("ok\n") }
  }

  private var metrics: RouteGroup {
    RouteGroup(
      "Operations", prefixes: [""], middleware: [],
      routes: [
        Route(
          .get, "/metrics", "All metrics in Prometheus' text format.", right: .anyone, ignoresQuery: true,
          answers: [Answer(200, "The metrics.", schema: .string(), mediaType: "text/plain")]
        ) { [metrics = context.metrics] _ in
          Response(
            200, headers: [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")],
            body: .bytes(Array(metrics.prometheusText().utf8)))
        }
      ])
  }

  private static let readinessSchema = JSONSchema.named(
    "Readiness",
    .object([
      .init("ready", .boolean), .init("warning", .string(), isRequired: false),
      .init(
        "failing", .array(.object([.init("name", .string()), .init("problem", .string())])),
        "What is wrong, and what to do."),
      .init(
        "dependencies",
        .array(
          .object([
            .init("name", .string()),
            .init("state", .string(values: Dependency.State.allCases.map(\.rawValue))),
          ])),
        "The servers that calls go to: `resting` is one that has failed several times, and is left alone for a moment; `probing` one that a single call tries."
      ),
      .init("ok", .array(.object([.init("name", .string()), .init("found", .string())])), isRequired: false),
    ]))

  @Sendable
  private func ready(_ request: Request, _ verbose: String?) async throws -> Response {
    let asked = checks.filter { verbose != nil || $0.isRequired }
    var results = await (verbose == nil ? required : all).results(of: asked)
    let isReady =
      !stop.isSignalled && zip(asked, results).allSatisfy { check, result in result.isOK || !check.isRequired }
    for (index, check) in asked.enumerated() where !check.isPublic { results[index] = results[index].withoutText }
    if stop.isSignalled {
      results.insert(CheckResult(name: "process", isOK: false, text: "is stopping"), at: 0)
    }
    var writer = JSONWriter()
    writer.object {
      $0.member("ready", isReady)
      if isDevelopment { $0.member("warning", "auth.mode is development: everybody may do everything") }
      $0.objects("dependencies", of: context.dependencies.states) { writer, entry in
        let (name, state) = entry
        writer.member("name", name)
        writer.member("state", state.rawValue)
      }
      $0.list("failing", "problem", results.filter { !$0.isOK })
      if verbose != nil { $0.list("ok", "found", results.filter(\.isOK)) }
    }
    return .json(writer.bytes, status: isReady ? 200 : 503)
  }

  /// The description of the process's routes.
  public var document: JSONValue { OpenAPI.document(described + operators, version: context.version) }

  private var description: RouteGroup {
    // Made once: it is the same for every request.
    let document = document.bytes
    return RouteGroup(
      "Description", prefixes: [""], middleware: [],
      routes: [
        Route(
          .get, "/openapi.json", "The description of this API.", right: .anyone, ignoresQuery: true,
          answers: [Answer(200, "OpenAPI 3.1.", schema: .raw(["type": "object"]))]
        ) { _ in .json(document) },
        Route(
          .get, "/docs", "The description as a page.", right: .anyone, ignoresQuery: true,
          answers: [Answer(200, "A page.", schema: .string(), mediaType: "text/html")]
        ) { _ in
          Response(
            200,
            headers: [
              ("Content-Type", "text/html; charset=utf-8"),
              // The page loads nothing but the description from this host.
              (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
              ),
            ], body: .bytes(PackageResources.docs_html))
        },
      ])
  }
}

extension JSONWriter {
  fileprivate mutating func list(_ name: String, _ text: String, _ results: [CheckResult]) {
    self.name(name)
    array { writer in
      for result in results {
        writer.element()
        writer.object {
          $0.member("name", result.name)
          $0.member(text, result.text)
        }
      }
    }
  }
}
