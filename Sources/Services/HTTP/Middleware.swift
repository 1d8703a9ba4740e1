public import HTTPServer

/// A step around handlers. It may answer itself, change the request, or look at the answer.
///
/// It sees the request's head and must not depend on the body: a later server runs it before the body is read.
public protocol Middleware: Sendable {
  /// The headers that it reads, for the API's description.
  var inputs: [InputDescription] { get }

  func handle(_ request: Request, next: Handler) async throws -> Response
}

extension Middleware {
  public var inputs: [InputDescription] { [] }
}
