import Events
public import Domain
import EventStore
public import HTTPServer
public import Identifiers
import JSON
import Projections
import Redis

/// Decides who may do what, in one place: for routes, streams and sockets alike.
public struct Access: Sendable {
  let authenticator: Authenticator
  private let document: @Sendable (UUID) async throws -> Document?
  private let cached: @Sendable (UUID) async -> Document?
  /// The document of a signature; nil: there is no such signature.
  private let signedDocument: @Sendable (UUID) async throws -> UUID?

  /// - Parameters:
  ///   - document: As the log has it, deleted ones too; nil: there is none.
  ///   - cached: As the cache has it; nil: it has none.
  public init(
    _ authenticator: Authenticator, document: @escaping @Sendable (UUID) async throws -> Document?,
    cached: @escaping @Sendable (UUID) async -> Document? = { _ in nil },
    signedDocument: @escaping @Sendable (UUID) async throws -> UUID? = { _ in nil }
  ) {
    (self.authenticator, self.document) = (authenticator, document)
    (self.cached, self.signedDocument) = (cached, signedDocument)
  }

  /// What a caller may do with a document, deleted ones too; nil: there is none.
  ///
  /// - Parameter byCache: A cached row that the caller may see is enough. It may be behind a share that was taken back, so it
  ///   says who may see that row, and no more; nor does it know of a share that was just given.
  func permissions(of caller: Caller, on id: UUID, byCache: Bool = false) async throws -> Permissions? {
    if byCache, let row = await cached(id), case let given = caller.permissions(on: row), !given.isEmpty {
      return given
    }
    return try await document(id).map { caller.permissions(on: $0) }
  }

  /// - Throws: A problem if the caller does not have a right on a document. A document that it may not see is not there for it.
  func require(_ right: Right, on id: UUID, for caller: Caller, byCache: Bool = false) async throws {
    if right.isGiven(to: caller.roles) { return }
    let permissions = try await permissions(of: caller, on: id, byCache: byCache)
    if let permissions, right.isGiven(to: caller.roles, with: permissions) { return }
    guard let permissions, Right.view.isGiven(to: caller.roles, with: permissions) else {
      throw DocumentRefusal.notFound
    }
    throw forbidden(right)
  }

  /// Whether a caller may see the document that a stream is of, or belongs to.
  func mayView(_ stream: StreamID, _ caller: Caller) async throws -> Bool {
    if caller.seesAll { return true }
    guard let id = UUID(stream.id), let id = stream.category == "document" ? id : try await signedDocument(id) else {
      return false
    }
    return try await permissions(of: caller, on: id)?.contains(.view) == true
  }

  /// Those entries whose `id` is a document that the caller may see.
  func visible(_ entries: [JSONValue], to caller: Caller) async throws -> [JSONValue] {
    var visible: [JSONValue] = []
    for entry in entries {
      guard let id = entry["id"]?.string.flatMap({ UUID($0) }),
        let permissions = try await permissions(of: caller, on: id), permissions.contains(.view)
      else { continue }
      visible.append(entry)
    }
    return visible
  }

  func forbidden(_ right: Right) -> Problem {
    Problem(
      403, "Forbidden",
      detail: "this needs the right “\(right.rawValue)”: \(right.remedy)")
  }
}

extension Right {
  /// Who can help.
  fileprivate var remedy: String {
    switch self {
    case .anyone, .identified: "send a token"
    case .create: "it comes with the role user"
    case .overview: "it comes with the roles auditor and admin"
    case .person: "it is given for the token's own address"
    case .view, .change, .sign: "ask the document's owner to share it"
    case .audit: "it comes with the roles auditor and admin, and to the document's owner"
    case .own: "the document's owner has it"
    case .operate: "it comes with the role admin"
    }
  }
}

/// A caller, and how his rights are checked.
private struct IdentifiedCaller: Sendable {
  let caller: Caller
  let access: Access
}

extension Request {
  /// The same request, of somebody who was found out.
  func identified(as caller: Caller, by access: Access) -> Request {
    var request = self
    request.identity = IdentifiedCaller(caller: caller, access: access)
    return request
  }

  /// Who sends it; nobody, for a route that asks for no identification.
  public var caller: Caller { (identity as? IdentifiedCaller)?.caller ?? .nobody }
  /// Checks rights; nil for a route that asks for no identification.
  var access: Access? { (identity as? IdentifiedCaller)?.access }
}
