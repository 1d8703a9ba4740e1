import JSON

/// An error as its client sees it: problem details (RFC 9457).
public struct Problem: Error, Sendable, CustomStringConvertible {
  public var status: Int
  /// A URI that says more of this kind of problem; `about:blank`: the status says all.
  public var type = "about:blank"
  public var title: String
  /// Says which value is wrong and what to do.
  public var detail: String
  /// The field at fault: a JSON Pointer, or the name of a parameter or header.
  public var field: String?
  public var headers: [(name: String, value: String)]

  public init(
    _ status: Int, _ title: String, detail: String, field: String? = nil,
    headers: [(name: String, value: String)] = []
  ) {
    (self.status, self.title, self.detail, self.field, self.headers) = (status, title, detail, field, headers)
  }

  public var description: String { "\(status) \(title): \(detail)" + (field.map { " (\($0))" } ?? "") }

  public var response: Response {
    var writer = JSONWriter()
    writer.object {
      $0.member("type", type)
      $0.member("title", title)
      $0.member("status", status)
      $0.member("detail", detail)
      if let field { $0.member("field", field) }
    }
    return Response(
      status, headers: [("Content-Type", "application/problem+json")] + headers, body: .bytes(writer.bytes))
  }

  /// The answer to an error that nobody translated: a problem's own, else 500 without details.
  public static func response(to error: any Error) -> Response {
    (error as? Problem ?? Problem(500, "Internal error", detail: "the server's log says more")).response
  }
}
