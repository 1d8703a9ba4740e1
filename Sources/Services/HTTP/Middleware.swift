public import HTTPServer

/// A step around handlers. It may answer itself, change the request, or look at the answer.
///
/// It runs at the request's head: what it refuses is answered before the body is read. It must not read the body.
public protocol Middleware: Sendable {
  /// The headers that it reads, for the API's description.
  var inputs: [InputDescription] { get }

  func handle(_ request: Request, next: Handler) async throws -> Response
}

extension Middleware {
  public var inputs: [InputDescription] { [] }
}
