import HTTPServer
import Time

/// That something should not be used any more: answers to whoever uses it say so (RFC 9745), and when it ends (RFC 8594).
struct Deprecation: Sendable {
  /// The first day, and the day of its end; nil: no end is planned.
  let since: Timestamp
  let end: Timestamp?
  /// The thing to use instead.
  let instead: String

  /// - Parameters: Days look like 2026-11-27.
  init(since: String, end: String? = nil, instead: String) {
    guard let first = Timestamp(since + "T00:00:00Z") else { preconditionFailure("\(since) is no day") }
    (self.since, self.instead) = (first, instead)
    self.end = end.flatMap { Timestamp($0 + "T00:00:00Z") }
    precondition((self.end == nil) == (end == nil), "\(end ?? "") is no day")
  }

  var fields: [(name: String, value: String)] {
    [("Deprecation", "@\(since.microseconds / 1_000_000)")] + (end.map { [("Sunset", $0.httpDate)] } ?? [])
      + [("Link", "</docs>; rel=\"deprecation\"; title=\"use \(instead)\"")]
  }
}

/// Tells clients that use what they should not use any more.
struct Deprecations: Middleware {
  private let ofRoute: Deprecation?
  private let ofInputs: [(input: InputDescription, deprecation: Deprecation)]

  /// - Returns: nil if everything of the route may be used.
  init?(_ route: Route) {
    ofRoute = route.deprecation
    ofInputs = route.inputs.compactMap { input in input.deprecation.map { (input, $0) } }
    if ofRoute == nil, ofInputs.isEmpty { return nil }
  }

  func handle(_ request: Request, next: Handler) async throws -> Response {
    var response = try await next(request)
    let used = ofInputs.first { input, _ in
      switch input.place {
      case .header: request.headers[input.name] != nil
      case .query: request.query(input.name) != nil
      case .path, .field: false
      }
    }
    if let deprecation = ofRoute ?? used?.deprecation { response.headers += deprecation.fields }
    return response
  }
}
