import HTTPServer
import Identifiers

/// Checks the right that a route declares, before its handler runs.
struct Authorization: Middleware {
  private let access: Access
  private let right: Right
  private let byCache: Bool
  private let takesTokenInQuery: Bool
  private let rates: RateLimits?

  /// - Parameter rates: Counts requests whose token is refused.
  init(_ access: Access, _ route: Route, _ rates: RateLimits?) {
    (self.access, right, byCache, self.rates) = (access, route.right, route.showsCachedRow, rates)
    takesTokenInQuery = route.takesTokenInQuery
  }

  static let token = InputDescription(
    .query, Authenticator.tokenParameter, isRequired: false, schema: .string(maxLength: 8_192),
    "The token, for clients that send no Authorization header. Addresses are logged by proxies: a short-lived one.")

  static let actor = InputDescription(
    .header, Authenticator.actorHeader, isRequired: false, schema: .string(minLength: 1, maxLength: 200),
    "Who acts, in development: 1 to 200 bytes, recorded in every event. With a token it must be the token's sub or email."
  )

  func handle(_ request: Request, next: Handler) async throws -> Response {
    guard right != .anyone else { return try await counted(request, nil, next) }
    let caller: Caller
    do {
      caller = try access.authenticator.caller(of: request, takesTokenInQuery: takesTokenInQuery)
      guard !caller.roles.isEmpty else {
        throw Authenticator.unauthorized("send a token: “Authorization: Bearer …”", isToken: false)
      }
    } catch {
      try await rates?.refuse(request)
      throw error
    }
    return try await counted(request, caller) { request in try await allowed(request, caller, next) }
  }

  /// Counts a request before its rights are looked at: what is refused costs too.
  private func counted(_ request: Request, _ caller: Caller?, _ next: Handler) async throws -> Response {
    guard let rates else { return try await next(request) }
    return try await rates.count(request, caller) { try await next(request) }
  }

  private func allowed(_ request: Request, _ caller: Caller, _ next: Handler) async throws -> Response {
    if right.isOfDocument {
      // Without an id in its path, the route checks the field of its body. A malformed id is the route's to refuse.
      if let text = request.parameters["id"], let id = UUID(text) {
        try await access.require(right, on: id, for: caller, byCache: byCache)
      }
    } else {
      let isSelf = request.parameters["email"].map { caller.isCalled($0) } ?? false
      guard right.isGiven(to: caller.roles, isSelf: isSelf) else { throw access.forbidden(right) }
    }
    return try await next(request.identified(as: caller, by: access))
  }
}
