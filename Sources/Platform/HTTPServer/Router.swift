public typealias Handler = @Sendable (Request) async throws -> Response

/// Which handler answers which method and path.
public struct Router: Sendable {
  /// What becomes of a request's body before its handler runs.
  public enum BodyPolicy: Sendable {
    /// A body is refused.
    case none
    /// Collected whole, up to that many bytes; forms are taken apart.
    case collect(limit: Int)
    /// Handed over as it comes, up to that many bytes.
    case stream(limit: Int)
  }

  struct Route: Sendable {
    let pattern: String
    let body: BodyPolicy
    let handler: Handler
  }

  enum Match {
    case route(Route, parameters: [String: String])
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
        if segment.hasPrefix(":") {
          let name = String(segment.dropFirst())
          precondition(parameter.map { $0.name == name } ?? true, "\(route.pattern): one place, two names")
          parameter = (name, (parameter?.node ?? .empty).adding(rest, method, route))
        } else {
          let key = String(segment)
          children[key] = (children[key] ?? .empty).adding(rest, method, route)
        }
      } else {
        precondition(routes[method] == nil, "\(method.rawValue) \(route.pattern) is there already")
        routes[method] = route
      }
      return Node(children: children, parameter: parameter, routes: routes)
    }
  }

  private var root = Node.empty

  public init() {}

  /// Adds a route. A segment `:name` takes any text. A GET route answers HEAD too.
  public mutating func on(
    _ method: Request.Method, _ pattern: String, body: BodyPolicy = .none, _ handler: @escaping Handler
  ) {
    let segments = pattern.split(separator: "/")[...]
    root = root.adding(segments, method, Route(pattern: pattern, body: body, handler: handler))
  }

  func match(_ method: Request.Method, _ path: [String]) -> Match {
    var node = root
    var parameters: [String: String] = [:]
    for segment in path {
      if let child = node.children[segment] {
        node = child
      } else if let (name, child) = node.parameter {
        parameters[name] = segment
        node = child
      } else {
        return .notFound
      }
    }
    if let route = node.routes[method] ?? (method == .head ? node.routes[.get] : nil) {
      return .route(route, parameters: parameters)
    }
    return node.routes.isEmpty
      ? .notFound : .methodNotAllowed(allowed: node.routes.keys.sorted { $0.rawValue < $1.rawValue })
  }
}
