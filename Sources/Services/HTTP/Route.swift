import Identifiers
public import HTTPServer
public import Tracing

/// A route, declared once: method, path, inputs, body, right and answers. Validation, the metric label, `Allow` and the
/// API's description come from the declaration.
public struct Route: Sendable {
  /// How the body of a request is used.
  public enum Body: Sendable {
    /// A body is refused.
    case none
    /// A JSON object whose members are the declared fields, up to that many bytes; and one of them, for the API's description.
    case fields(limit: Int, example: String)
    /// A JSON object of the declared fields up to `limit` bytes, or a form (multipart/form-data) with parts of these
    /// names, up to `form` bytes.
    case fieldsOrForm(limit: Int, form: Int, example: String)
    /// Bytes of any type. The handler reads them itself, within its own limit.
    case content

    var isFields: Bool {
      switch self {
      case .fields, .fieldsOrForm: true
      case .none, .content: false
      }
    }
  }

  public let method: Request.Method
  /// Segments in braces are parameters: `/documents/{id}`.
  public let path: String
  public let summary: String
  public let right: Right
  public let body: Body
  public let answers: [Answer]
  public let inputs: [InputDescription]
  /// nil: it may be used.
  private(set) var deprecation: Deprecation?
  /// It shows a document's cached row, and asks that row again who may see it.
  let showsCachedRow: Bool
  /// The token may be in the query too: browsers send no headers with sockets and event streams.
  let takesTokenInQuery: Bool
  /// Called with what refuses requests where there are too many: bodies arrive as slowly as their clients are, so it is asked after
  /// them.
  let handler: @Sendable (Request, LoadShedding?) async throws -> Response

  /// - Parameters:
  ///   - ignoresQuery: Undeclared query parameters are ignored: probes and load balancers add some.
  ///   - inputs: What the handler reads, in the order of its parameters. Everything else in the query and in a body of
  ///     fields is refused; headers never are.
  ///   - handler: Throws `Problem`, or an error that `ErrorResponses` knows.
  public init<each V: Sendable>(
    _ method: Request.Method, _ path: String, _ summary: String, right: Right, body: Body = .none,
    ignoresQuery: Bool = false, showsCachedRow: Bool = false, takesTokenInQuery: Bool = false,
    answers: [Answer], _ inputs: repeat Input<each V>,
    handler: @escaping @Sendable (Request, repeat each V) async throws -> Response
  ) {
    (self.method, self.path, self.summary, self.right) = (method, path, summary, right)
    (self.body, self.answers, self.showsCachedRow) = (body, answers, showsCachedRow)
    self.takesTokenInQuery = takesTokenInQuery
    var descriptions: [InputDescription] = takesTokenInQuery ? [Authorization.token] : []
    for input in repeat each inputs { descriptions.append(input.description) }
    self.inputs = descriptions
    let declarations = descriptions
    let checksField = right.isOfDocument && !path.contains("{id}")
    let names = RequestReader.Names(declarations, body, ignoresQuery: ignoresQuery)
    self.handler = { request, shedding in
      if case .none = body, !request.body.isEmpty {
        throw Problem(400, "Bad request", detail: "this request must not have a body")
      }
      var reader = RequestReader(request, names)
      if body.isFields {
        // Everything at the request's head is checked before the body is read.
        for input in repeat each inputs {
          if input.description.place != .field { _ = try input.read(reader) }
        }
        try reader.checkQuery()
        try await reader.readBody(declarations)
      }
      let values = (repeat try (each inputs).read(reader))
      try reader.end()
      let slot = body.isFields ? try shedding?.begin() : nil
      defer { slot?.end() }
      if checksField, let access = request.access {
        // A route whose path names no document has it in its body.
        guard let id: UUID = try reader.field(Self.documentField, []) else { throw reader.missing(Self.documentField) }
        try await access.require(right, on: id, for: request.caller)
      }
      return try await handler(request, repeat each values)
    }
    let declared = Set(descriptions.filter { $0.place == .path }.map(\.name))
    precondition(declared == Set(Self.parameters(in: path)), "\(path): the path and its inputs differ")
    precondition(
      !checksField || descriptions.contains { $0.place == .field && $0.name == Self.documentField && $0.isRequired },
      "\(path): the right concerns a document, and nothing names one")
    precondition(
      right != .person || path.contains("{email}"), "\(path): the right concerns a person, and nothing names one")
    precondition(body.isFields || !descriptions.contains { $0.place == .field }, "\(path): fields without a body")
  }

  /// The same, which should not be used any more.
  func deprecated(_ deprecation: Deprecation) -> Route {
    var route = self
    route.deprecation = deprecation
    return route
  }

  private static let documentField = "document_id"

  static func parameters(in path: String) -> [String] {
    path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
  }
}

/// One possible answer of a route. Problems are described for all routes together.
public struct Answer: Sendable {
  public let status: Int
  public let meaning: String
  public let mediaType: String
  /// nil: the answer has no body.
  public let schema: JSONSchema?

  public init(_ status: Int, _ meaning: String, schema: JSONSchema? = nil, mediaType: String = "application/json") {
    (self.status, self.meaning, self.schema, self.mediaType) = (status, meaning, schema, mediaType)
  }
}

/// Routes that share prefixes and middleware.
public struct RouteGroup: Sendable {
  /// Its heading in the API's description.
  public let name: String
  /// Each route is served under each of them. They share one metric label.
  public let prefixes: [String]
  public let middleware: [any Middleware]
  public let routes: [Route]

  /// The versioned prefix and the alias without it.
  public static let versioned = ["/v1", ""]

  /// Probes and descriptions are not: whoever looks after the server must be able to.
  var isLimited: Bool { prefixes == Self.versioned }

  public init(
    _ name: String, prefixes: [String] = versioned, middleware: [any Middleware] = [], routes: [Route]
  ) {
    (self.name, self.prefixes, self.middleware, self.routes) = (name, prefixes, middleware, routes)
  }
}

extension Router {
  /// A router of all routes. Middleware is folded into each route here, once.
  ///
  /// - Parameters:
  ///   - middleware: Around every route, the outermost first.
  ///   - access: Finds out who calls, and checks his rights, inside of that middleware.
  ///   - limits: How much clients may ask for; nil: as much as they like.
  ///   - tracer: Takes the spans of requests; nil: none are recorded.
  public init(
    _ groups: [RouteGroup], middleware: [any Middleware], access: Access, limits: Limits? = nil, tracer: Tracer? = nil
  ) {
    self.init()
    for group in groups {
      for route in group.routes {
        let limits = group.isLimited ? limits : nil
        let shedding = limits?.shedding
        let before = shedding.flatMap { Shedding($0, route) }.map { [$0] } ?? []
        let rates = limits?.rates(of: route)
        let steps: [any Middleware] =
          middleware + before + [
            Authorization(access, route, rates)
          ] + (Deprecations(route).map { [$0] } ?? [])
          + (tracer.flatMap { RequestTraces($0, route) }.map { [$0] } ?? []) + group.middleware
        let handler = steps.reversed().reduce({ try await route.handler($0, shedding) } as Handler) {
          next, middleware in
          { try await middleware.handle($0, next: next) }
        }
        for prefix in group.prefixes {
          on(route.method, prefix + route.path, label: route.path, handler)
        }
      }
    }
  }
}
