import Crypto
import Glibc
import HTTPServer
import Metrics

/// Answers requests of clients that ask for too much with 429, and tells all others what they have left: the header fields of
/// draft-ietf-httpapi-ratelimit-headers.
///
/// A client is who its token says; without one, its address. Tokens that are refused count for the address.
struct RateLimits: Sendable {
  private let limiter: RateLimiter
  private let route: String
  private let refused: Counter

  init(_ limiter: RateLimiter, _ route: String, label: String, metrics: MetricsRegistry) {
    (self.limiter, self.route) = (limiter, route)
    refused = metrics.counter(Self.refusals, ["route": label], help: Self.refusalsHelp)
  }

  private static let policy = "default"
  private static let refusals = "annals_rate_limited_total"
  private static let refusalsHelp = "Requests that were answered with 429, by route."

  /// Says of the metrics which there are, also where nothing is limited.
  static func declare(_ metrics: MetricsRegistry) {
    metrics.declare(.counter, refusals, labels: ["route"], help: refusalsHelp)
    metrics.declare(.counter, RateLimiter.fallbacks, labels: [], help: RateLimiter.fallbacksHelp)
  }

  /// The type that RFC drafts give to a quota that is used up.
  private static let problemType = "https://iana.org/assignments/http-problem-types#quota-exceeded"

  /// Counts a request, and adds to its answer what is left.
  ///
  /// - Parameter caller: nil: nobody has asked who it is.
  func count(_ request: Request, _ caller: Caller?, _ next: () async throws -> Response) async throws -> Response {
    let verdict = try await count(request, caller)
    var response = try await next()
    response.headers += fields(verdict)
    return response
  }

  /// Counts a request, or a call by gRPC.
  ///
  /// - Returns: What is left.
  /// - Throws: A problem with status 429 if there were too many.
  @discardableResult
  func count(_ request: Request, _ caller: Caller?) async throws -> RateLimiter.Verdict {
    let client = caller?.expires == nil ? "address \(Self.place(request))" : "token \(caller?.actor ?? "")"
    let verdict = await limiter.count("\(client)\n\(route)")
    guard verdict.isAllowed else { throw exceeded(verdict) }
    return verdict
  }

  /// An address; of IPv6 the network, of which one client has all addresses.
  private static func place(_ request: Request) -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard inet_pton(AF_INET6, request.clientAddress, &bytes) == 1 else { return request.clientAddress }
    return bytes.prefix(8).hexadecimal
  }

  /// Counts a request whose token is refused.
  ///
  /// - Throws: A problem with status 429 in place of 401 where there were too many.
  func refuse(_ request: Request) async throws {
    let verdict = await limiter.count("refused \(Self.place(request))")
    if !verdict.isAllowed { throw exceeded(verdict) }
  }

  private func exceeded(_ verdict: RateLimiter.Verdict) -> Problem {
    refused.increment()
    var problem = Problem(
      429, "Too many requests",
      detail: "at most \(limiter.limit) requests to \(route) in \(limiter.window) s: try again in \(verdict.reset) s",
      headers: [("Retry-After", "\(verdict.reset)")] + fields(verdict))
    problem.type = Self.problemType
    return problem
  }

  private func fields(_ verdict: RateLimiter.Verdict) -> [(name: String, value: String)] {
    [
      ("RateLimit-Policy", "\"\(Self.policy)\";q=\(limiter.limit);w=\(limiter.window)"),
      ("RateLimit", "\"\(Self.policy)\";r=\(verdict.remaining);t=\(verdict.reset)"),
    ]
  }
}
