import Domain
import Events
import Identifiers
import JSON
import Time

/// One thing that happened to a document, as clients are told of it, in whatever form: sockets, event streams, calls, webhooks.
struct Happening: Sendable {
  /// `document.created`, `signature.given`.
  let type: String
  let document: UUID
  let title: String
  let oldStatus: DocumentStatus?
  let newStatus: DocumentStatus?
  let version: StreamVersion
  /// Nil for those who may not see the document's history.
  let actor: String?
  /// The signature that was given.
  let signature: Signature?
  let at: Timestamp

  /// The members of `data`.
  func write(_ writer: inout JSONWriter) {
    writer.member("id", document.description)
    writer.member("title", title)
    writer.member("old_status", orNull: oldStatus?.rawValue)
    writer.member("new_status", orNull: newStatus?.rawValue)
    writer.member("version", version.value)
    if let actor { writer.member("actor", actor) }
    guard let signature else { return }
    writer.member("signature_id", signature.id.description)
    writer.member("signer_email", signature.signerEmail)
    writer.member("signer_name", signature.signerName)
  }

  /// What an event is called, in the order in which it is told: the signature before what it has made of the document.
  static func types(of event: DocumentEvent) -> [String] {
    switch event {
    case .created: ["document.created"]
    case .retitled: ["document.retitled"]
    case .contentReplaced: ["document.content_replaced"]
    case .statusChanged(_, let to, _): ["document.\(to.rawValue)"]
    case .shared: ["document.shared"]
    case .unshared: ["document.unshared"]
    case .tagged: ["document.tagged"]
    case .typed: ["document.fields_set"]
    case .labelled: ["document.version_labelled"]
    case .signingOpened: ["document.signing_opened"]
    case .signingClosed: ["document.signing_closed"]
    case .linked: ["document.linked"]
    case .unlinked: ["document.unlinked"]
    case .deleted: ["document.deleted"]
    case .signed: ["signature.given", "document.signed"]
    }
  }

  /// Every name that `types` gives.
  static let allTypes: [String] =
    DocumentStatus.allCases.map { "document.\($0.rawValue)" }
    + [
      "document.created", "document.retitled", "document.content_replaced", "document.shared", "document.unshared",
      "document.tagged", "document.fields_set", "document.version_labelled", "document.signing_opened",
      "document.signing_closed", "document.linked", "document.unlinked", "document.deleted", "signature.given",
    ]

  /// What an event tells.
  ///
  /// - Parameters:
  ///   - before: The document before it, and `after`.
  ///   - actor: Who caused it; nil: it is not told.
  ///   - signature: Loads the one that a signature event names.
  static func of(
    _ event: DocumentEvent, _ recorded: RecordedEvent, from before: Document?, to after: Document?, id: UUID,
    actor: String?, isolation: isolated (any Actor)? = #isolation, signature load: (UUID) async throws -> Signature?
  ) async throws -> [Happening] {
    let signature: Signature? = if case .signed(let id, _, _) = event { try await load(id) } else { nil }
    return types(of: event).map { type in
      Happening(
        type: type, document: id, title: after?.title ?? "", oldStatus: before?.status, newStatus: after?.status,
        version: recorded.version, actor: actor, signature: type == "signature.given" ? signature : nil,
        at: recorded.recordedAt)
    }
  }
}
