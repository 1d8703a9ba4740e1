public import HTTPServer

/// Finds out who acts: the header `X-Actor`, until there are tokens.
public struct Identity: Middleware {
  static let header = "X-Actor"

  public init() {}

  public var inputs: [InputDescription] {
    [
      InputDescription(
        .header, Self.header, isRequired: false, schema: .string(minLength: 1, maxLength: 200),
        "Who acts: 1 to 200 bytes. It is recorded in every event.")
    ]
  }

  public func handle(_ request: Request, next: Handler) async throws -> Response {
    guard let name = request.headers[Self.header] else { return try await next(request) }
    guard Self.isName(name) else {
      throw Problem(
        400, "Malformed header", detail: "\(Self.header) needs 1 to 200 bytes and a character that is not blank",
        field: Self.header)
    }
    var request = request
    request.actor = name
    return try await next(request)
  }

  /// 1 to 200 bytes without control characters, not all of them blank.
  static func isName(_ text: String) -> Bool {
    (1...200).contains(text.utf8.count) && text.contains { !$0.isWhitespace }
      && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }
}
