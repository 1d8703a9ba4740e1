public typealias Handler = @Sendable (Request) async throws -> Response

/// Finds the handler for a method and a path.
public struct Router: Sendable {
  struct Route: Sendable {
    /// The route's name in metrics.
    let label: String
    let handler: Handler
  }

  enum Match {
    case route(Route, parameters: [String: String])
    /// An OPTIONS request without a handler of its own: the answer lists the methods.
    case options(allowed: [Request.Method])
    case methodNotAllowed(allowed: [Request.Method])
    case notFound
  }

  /// A tree of path segments.
  private final class Node: Sendable {
    let children: [String: Node]
    let parameter: (name: String, node: Node)?
    let routes: [Request.Method: Route]

    init(children: [String: Node], parameter: (name: String, node: Node)?, routes: [Request.Method: Route]) {
      (self.children, self.parameter, self.routes) = (children, parameter, routes)
    }

    static let empty = Node(children: [:], parameter: nil, routes: [:])

    func adding(_ segments: ArraySlice<Substring>, _ method: Request.Method, _ route: Route) -> Node {
      var (children, parameter, routes) = (children, parameter, routes)
      if let segment = segments.first {
        let rest = segments.dropFirst()
        if let name = Router.parameterName(segment) {
          precondition(parameter.map { $0.name == name } ?? true, "\(route.label): one place has two names")
          parameter = (name, (parameter?.node ?? .empty).adding(rest, method, route))
        } else {
          let key = String(segment)
          children[key] = (children[key] ?? .empty).adding(rest, method, route)
        }
      } else {
        precondition(routes[method] == nil, "\(method.rawValue) \(route.label) is declared twice")
        routes[method] = route
      }
      return Node(children: children, parameter: parameter, routes: routes)
    }

    /// The methods that can be used here, those that the router answers itself included.
    var allowed: [Request.Method] {
      var methods = Set(routes.keys).union([.options])
      if methods.contains(.get) { methods.insert(.head) }
      return methods.sorted { $0.rawValue < $1.rawValue }
    }
  }

  private var root = Node.empty

  public init() {}

  /// Adds a route. A segment `{name}` takes any text. A GET route answers HEAD too; OPTIONS is answered everywhere.
  ///
  /// - Parameter label: The route's name in metrics; the pattern if it is nil. Two patterns may share one.
  public mutating func on(
    _ method: Request.Method, _ pattern: String, label: String? = nil, _ handler: @escaping Handler
  ) {
    let segments = pattern.split(separator: "/")[...]
    root = root.adding(segments, method, Route(label: label ?? pattern, handler: handler))
  }

  /// The name in a segment `{name}`; nil for a literal segment.
  static func parameterName(_ segment: Substring) -> String? {
    segment.hasPrefix("{") && segment.hasSuffix("}") ? String(segment.dropFirst().dropLast()) : nil
  }

  func match(_ request: Request) -> Match {
    let method = request.method
    if method == .options, request.target == "*" { return .options(allowed: Request.Method.allCases) }
    var parameters: [String: String] = [:]
    guard let node = Self.find(request.path[...], below: root, &parameters) else { return .notFound }
    if let route = node.routes[method] ?? (method == .head ? node.routes[.get] : nil) {
      return .route(route, parameters: parameters)
    }
    return method == .options ? .options(allowed: node.allowed) : .methodNotAllowed(allowed: node.allowed)
  }

  /// The node of a path. A literal goes before a parameter; where it leads nowhere, the parameter is tried.
  private static func find(
    _ path: ArraySlice<String>, below node: Node, _ parameters: inout [String: String]
  ) -> Node? {
    guard let segment = path.first else { return node.routes.isEmpty ? nil : node }
    if let child = node.children[segment], let found = find(path.dropFirst(), below: child, &parameters) {
      return found
    }
    guard let (name, child) = node.parameter, let found = find(path.dropFirst(), below: child, &parameters) else {
      return nil
    }
    parameters[name] = segment
    return found
  }

  /// The answer to a request for which there is no handler; nil if there is one.
  static func answer(_ match: Match, _ method: Request.Method) -> Response? {
    func list(_ methods: [Request.Method]) -> String { methods.map(\.rawValue).joined(separator: ", ") }
    switch match {
    case .route: return nil
    case .notFound: return Problem(404, "Not found", detail: "there is nothing at this path").response
    case .options(let allowed): return Response(204, headers: [("Allow", list(allowed))])
    case .methodNotAllowed(let allowed):
      return Problem(
        405, "Method not allowed", detail: "\(method.rawValue) is not possible here; use \(list(allowed))",
        headers: [("Allow", list(allowed))]
      ).response
    }
  }

  /// Answers a request without a server, body included: what tests of handlers need.
  public func respond(to request: Request) async throws -> Response {
    let match = match(request)
    guard case .route(let route, let parameters) = match else {
      return Self.answer(match, request.method) ?? Response(500)
    }
    var request = request
    request.parameters = parameters
    return try await route.handler(request)
  }
}
