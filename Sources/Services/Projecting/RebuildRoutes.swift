import HTTPServer
import JSON
import Projections

/// `/admin/rebuilds`: the generations of all views, and rebuilds. For operators, on a port of their own.
struct RebuildRoutes: Sendable {
  private let context: Context

  init(_ context: Context) { self.context = context }

  var group: RouteGroup {
    RouteGroup(
      "Rebuilds", prefixes: [""], middleware: [ErrorResponses(logger: context.logger)],
      routes: [
        Route(
          .get, "/admin/rebuilds", "The generations of all views.", right: .operate,
          answers: [Answer(200, "Views with their generations, oldest first.", schema: .raw(["type": "object"]))],
          handler: list),
        Route(
          .post, "/admin/rebuilds", "Ask for a rebuild of a view; a running projection begins it within a second.",
          right: .operate, body: .fields(limit: 4_096, example: #"{"view": "document-search"}"#),
          answers: [Answer(202, "The generation that will be built.", schema: .raw(["type": "object"]))],
          Input<String>(field: "view", "The view, for example document-search."), handler: request),
        Route(
          .delete, "/admin/rebuilds/{view}", "Give up the rebuild of a view.", right: .operate,
          answers: [Answer(204, "It is given up.")], Input<String>(path: "view", "The view."), handler: cancel),
      ])
  }

  @Sendable
  private func list(_ request: Request) async throws -> Response {
    var writer = JSONWriter(reserving: 2_048)
    writer.raw(#"{"views":["#)
    for (number, view) in try context.views.enumerated() {
      let generations = try await context.viewWorld.registry.generations(of: view.name)
      if number > 0 { writer.raw(",") }
      writer.object { writer in
        writer.member("view", view.name)
        writer.member("form", view.form)
        writer.objects("generations", of: generations) { writer, generation in
          writer.member("generation", generation.number)
          writer.member("state", generation.state.rawValue)
          writer.member("form", generation.form)
          writer.member("streams", generation.streams)
          writer.member("reason", generation.reason)
          writer.member("begun_at", generation.begunAt)
          writer.member("activated_at", orNull: generation.activatedAt)
        }
      }
    }
    writer.raw("]}")
    return .json(writer.bytes)
  }

  @Sendable
  private func request(_ request: Request, _ name: String) async throws -> Response {
    let generation = try await Rebuild(try context.view(name), try context.viewWorld).request(
      reason: "asked for by POST /admin/rebuilds")
    var writer = JSONWriter()
    writer.object {
      $0.member("view", name)
      $0.member("generation", generation)
      $0.member("state", "building")
    }
    return .json(writer.bytes, status: 202)
  }

  @Sendable
  private func cancel(_ request: Request, _ name: String) async throws -> Response {
    guard try await Rebuild(try context.view(name), try context.viewWorld).cancel() != nil else {
      throw Problem(404, "Not found", detail: "\(name) is not being rebuilt", field: "view")
    }
    return Response(204)
  }
}

extension UnknownView: ProblemConvertible {
  var problem: Problem { Problem(404, "Not found", detail: description, field: "view") }
}

extension Rebuild.Busy: ProblemConvertible {
  var problem: Problem { Problem(409, "Conflict", detail: description, field: "view") }
}
