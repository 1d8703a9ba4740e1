import HTTPServer
import JSON
import Projections

/// `/admin/parked`: streams whose change a view refused, and what is to become of them. For operators, on a port of their own.
struct ParkedRoutes: Sendable {
  private let context: Context
  private var parked: ParkedStreams { ParkedStreams(context.pool) }

  init(_ context: Context) { self.context = context }

  private static let number = Input<Int64>(path: "number", "Its number, as the list has it.")

  var group: RouteGroup {
    RouteGroup(
      "Parked streams", prefixes: [""], middleware: [ErrorResponses(logger: context.logger)],
      routes: [
        Route(
          .get, "/admin/parked", "Streams that views have parked, the longest parked first.", right: .operate,
          answers: [Answer(200, "The streams, and why.", schema: .raw(["type": "object"]))], handler: list),
        Route(
          .get, "/admin/parked/{number}", "One of them with its history.", right: .operate,
          answers: [Answer(200, "All that is known of it.", schema: .raw(["type": "object"]))], Self.number,
          handler: show),
        Route(
          .post, "/admin/parked/{number}/{request}",
          "Decide about one; a running projection acts on it within seconds.", right: .operate,
          answers: [Answer(202, "It is noted.", schema: .raw(["type": "object"]))], Self.number,
          Input<String>(
            path: "request", oneOf: ParkedStreams.Request.allCases.map(\.rawValue),
            "retry: fold the stream from the log and apply it; skip, drop: leave out what waits."), handler: request),
      ])
  }

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    let entries = try await parked.list()
    var writer = JSONWriter(reserving: 1_024)
    writer.object { writer in
      writer.objects("parked", of: entries) { writer, entry in
        writer.member("number", entry.id)
        writer.member("view", entry.view)
        writer.member("stream", entry.stream)
        writer.member("version", entry.version)
        writer.member("newest", entry.newest)
        writer.member("since", entry.since)
        writer.member("reason", entry.reason)
        writer.member("requested", orNull: entry.request.isEmpty ? nil : entry.request)
      }
    }
    return .json(writer.bytes)
  }

  @Sendable
  private func show(_ request: Request, _ number: Int64) async throws -> Response {
    guard let text = try await parked.show(number) else { throw Self.notParked(number) }
    return .json(Array(text.utf8))
  }

  @Sendable
  private func request(_ request: Request, _ number: Int64, _ wanted: String) async throws -> Response {
    guard let wanted = ParkedStreams.Request(rawValue: wanted), try await parked.request(wanted, number) else {
      throw Self.notParked(number)
    }
    var writer = JSONWriter()
    writer.object {
      $0.member("number", number)
      $0.member("requested", wanted.rawValue)
    }
    return .json(writer.bytes, status: 202)
  }

  private static func notParked(_ number: Int64) -> Problem {
    Problem(404, "Not found", detail: "nothing of the number \(number) is parked", field: "number")
  }
}
