import Configuration
import Domain
import HTTPClient
import Identifiers
import Time
import Tracing

/// Sends one message to a webhook, signed, and says what became of it. It follows no redirects.
struct WebhookPost: Sendable {
  struct Answer: Sendable {
    let at: Timestamp
    let milliseconds: Int
    /// nil: there was none.
    let status: Int?
    /// Why the message was not taken; nil: it was.
    let problem: String?
    /// How long it wants to be left alone.
    var retryAfter: Duration?

    /// It has too much to do, or does not answer.
    var isOverloaded: Bool { status.map { [429, 502, 503, 504].contains($0) } ?? true }
  }

  private let client: HTTPClient
  private let settings: Configuration
  private let version: String
  private let tracer: Tracer

  /// How much of an answer is read, in bytes.
  private static let maximumResponse = 1 << 20

  init(_ context: Context) {
    (client, settings, version) = (context.strangers, context.settings, context.version)
    tracer = context.tracer
  }

  /// The settings' secret may change while the program runs.
  var keys: WebhookKeys { WebhookKeys(settings[WebhookSettings.secret]) }

  /// - Parameters:
  ///   - id: The same however often the message is sent.
  ///   - trace: Of the request that caused it.
  ///   - number: Of the attempt, from 1 on.
  func send(
    _ id: String, _ body: [UInt8], to webhook: Webhook, trace: String? = nil, number: Int = 1
  ) async -> Answer {
    guard let outer = trace.flatMap({ tracer.place($0) }) else { return await send(id, body, to: webhook, nil) }
    let span = outer.child()
    let answer = await send(id, body, to: webhook, span)
    tracer.record(
      Span(
        "POST", .client, span, parent: outer.span, begun: answer.at,
        [
          ("http.request.method", "POST"), ("server.address", .text(webhook.host)),
          ("http.response.status_code", .number(Int64(answer.status ?? 0))),
          ("http.request.resend_count", .number(Int64(number - 1))), ("annals.webhook", .text(webhook.id.description)),
          ("messaging.message.id", .text(id)),
        ], failure: answer.problem))
    return answer
  }

  private func send(_ id: String, _ body: [UInt8], to webhook: Webhook, _ trace: TraceContext?) async -> Answer {
    let (now, begun) = (Timestamp.now(), ContinuousClock.now)
    let request = HTTPRequest(
      .post, webhook.url,
      headers: [
        ("Content-Type", "application/json"), ("User-Agent", "annals/\(version)"), ("webhook-id", id),
        ("webhook-timestamp", "\(now.microseconds / 1_000_000)"),
        ("webhook-signature", keys.signatures(webhook, message: id, at: now, body)),
      ] + (trace.map { [("traceparent", $0.traceparent)] } ?? []), body: body,
      timeout: settings[WebhookSettings.timeout], maximumResponse: Self.maximumResponse)
    func answer(_ status: Int?, _ problem: String?, retryAfter: Duration? = nil) -> Answer {
      let parts = (ContinuousClock.now - begun).components
      return Answer(
        at: now, milliseconds: Int(parts.seconds * 1_000 + parts.attoseconds / 1_000_000_000_000_000), status: status,
        problem: problem, retryAfter: retryAfter)
    }
    do {
      let response = try await client.send(request)
      guard !response.isSuccess else { return answer(response.status, nil) }
      let isRedirect = (300..<400).contains(response.status)
      return answer(
        response.status,
        isRedirect
          ? "it answered \(response.status): redirects are not followed, change the webhook's URL"
          : "it answered \(response.status)",
        retryAfter: response.header("retry-after").flatMap(Self.delay))
    } catch { return answer(nil, error.reason) }
  }

  /// Reads Retry-After (RFC 9110, section 10.2.3): seconds, or a time.
  private static func delay(_ text: String) -> Duration? {
    if let seconds = Int64(text), seconds >= 0, seconds < 1_000_000 { return .seconds(seconds) }
    return Timestamp(httpDate: text).map {
      max(.zero, .microseconds($0.microseconds - Timestamp.now().microseconds))
    }
  }
}
