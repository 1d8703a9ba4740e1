public import Events
public import Identifiers
public import Time

/// A request to change a document. It carries the time: decisions have no clock.
public enum DocumentCommand: Sendable {
  case create(
    id: UUID, title: String, content: DocumentContent?, fields: FieldsChange? = nil, by: String, at: Time.Timestamp)
  /// Title, status, tags and fields together: all change or none. nil leaves a field as it is; tags replace those that were.
  case amend(
    title: String?, status: DocumentStatus?, tags: [String]? = nil, fields: FieldsChange? = nil, at: Time.Timestamp)
  /// Takes its type and the fields of that type away.
  case removeType(at: Time.Timestamp)
  /// `evenIfSame`: also by the same bytes, because the object that the document names is lost.
  case replaceContent(DocumentContent, evenIfSame: Bool = false, at: Time.Timestamp)
  /// Notes a signature. The document is signed afterwards, also if it was before.
  ///
  /// `closes`: the session that is over with it.
  case sign(signature: UUID, closes: UUID? = nil, at: Time.Timestamp)
  /// Keeps the content as it is for a session, and lets its participants see and sign the document until then.
  case openSigning(session: UUID, shares: [Share], at: Time.Timestamp)
  case closeSigning(session: UUID, at: Time.Timestamp)
  /// Shares it, or changes how it is shared with the same grantee.
  case share(Share, at: Time.Timestamp)
  case unshare(Grantee, at: Time.Timestamp)
  /// Names a version; nil: takes its name away.
  case label(StreamVersion, String?, at: Time.Timestamp)
  /// Notes a link to a version.
  case link(UUID, StreamVersion, at: Time.Timestamp)
  case unlink(UUID, at: Time.Timestamp)
  /// Gives back a status, tags and fields that it had before. Only an archived document stays so.
  case takeBack(status: DocumentStatus, tags: [String], custom: CustomFields?, at: Time.Timestamp)
  case delete(at: Time.Timestamp)
}

/// The rule that a command on a document broke.
public enum DocumentRefusal: Refusal, Equatable, Sendable {
  case notFound
  case deleted
  case exists
  case titleIsEmpty
  case titleIsTooLong(count: Int, limit: Int)
  case titleHasNUL
  case noTransition(from: DocumentStatus, to: DocumentStatus)
  case tooManySignatures(limit: Int)
  case tooManyShares(limit: Int)
  case notShared(Grantee)
  case tagsAreMalformed
  case noSuchVersion(StreamVersion)
  case labelIsMalformed(limit: Int)
  case tooManyLabels(limit: Int)
  case shareIsOver(until: Time.Timestamp)
  case isBeingSigned
  case signingIsOpen
  case tooManySessions(limit: Int)
  case tooManyLinks(limit: Int)
  case field(FieldProblem)
  case hasOtherType(String?, expected: String)
  case typeIsRetired(String)

  public var kind: RefusalKind {
    switch self {
    case .notFound, .notShared, .noSuchVersion: .notFound
    case .deleted: .gone
    case .exists, .noTransition, .tooManySignatures, .tooManyShares, .tooManyLabels, .isBeingSigned, .signingIsOpen,
      .tooManySessions, .tooManyLinks, .hasOtherType, .typeIsRetired:
      .conflict
    case .titleIsEmpty, .titleIsTooLong, .titleHasNUL, .shareIsOver, .labelIsMalformed, .tagsAreMalformed, .field:
      .invalid
    }
  }

  public var field: String? {
    switch self {
    case .notFound, .deleted, .tooManySignatures, .tooManyShares, .notShared, .tooManyLabels, .noSuchVersion,
      .isBeingSigned, .signingIsOpen, .tooManySessions, .tooManyLinks:
      nil
    case .field(let problem): problem.name.isEmpty ? "/fields" : "/fields/\(problem.name)"
    case .hasOtherType, .typeIsRetired: "/type"
    case .labelIsMalformed: "/label"
    case .tagsAreMalformed: "/tags"
    case .shareIsOver: "/until"
    case .exists: "/id"
    case .noTransition: "/status"
    case .titleIsEmpty, .titleIsTooLong, .titleHasNUL: "/title"
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such document"
    case .deleted: "the document is deleted"
    case .exists: "a document with this id exists"
    case .titleIsEmpty: "a title needs at least one character that is not blank"
    case .titleIsTooLong(let count, let limit): "a title has at most \(limit) bytes of UTF-8, this one has \(count)"
    case .titleHasNUL: "a title must not have the character U+0000"
    case .isBeingSigned:
      "the document is being signed: its content stays as it is until the session ends; or cancel that"
    case .signingIsOpen: "a signing session is open on the document: wait for its end, or cancel it"
    case .tooManySessions(let limit): "a document has at most \(limit) signing sessions"
    case .tooManyLinks(let limit): "at most \(limit) links are made to a document"
    case .tooManySignatures(let limit): "a document has at most \(limit) signatures"
    case .tooManyShares(let limit): "a document is shared with at most \(limit); share it with a group"
    case .tagsAreMalformed:
      "a document has at most \(Tags.maximum) tags, each of 1 to \(Tags.maximumLength) bytes of UTF-8, not all of them blank, without control characters"
    case .noSuchVersion(let version): "the document has no version \(version)"
    case .labelIsMalformed(let limit):
      "a label has 1 to \(limit) bytes of UTF-8, not all of them blank, and no character U+0000"
    case .tooManyLabels(let limit): "at most \(limit) versions of a document have a label"
    case .field(let problem): problem.description
    case .hasOtherType(let type, let expected):
      (type.map { "the document is of the type \($0)" } ?? "the document has no type")
        + ": send type too to make it one of \(expected)"
    case .typeIsRetired(let type): "the type \(type) is retired: no document gets it any more"
    case .notShared(let grantee): "the document is not shared with \(grantee)"
    case .shareIsOver(let until): "\(until) has passed: name a later time, or none"
    case .noTransition(let from, let to):
      "a document that is \(from.rawValue) cannot become \(to.rawValue); "
        + (from.successors.isEmpty
          ? "it stays as it is" : "it can become \(from.successors.map(\.rawValue).joined(separator: ", "))")
    }
  }
}

/// The rules of documents.
extension Document: Aggregate {
  public static let category: StaticString = "document"

  public var publishedRow: [UInt8]? { isDeleted ? nil : rowImage }

  public static func decide(
    _ command: DocumentCommand, _ state: Document?
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    if case .create(let id, let title, let content, let fields, let by, let at) = command {
      guard state == nil else { throw .exists }
      let created = DocumentEvent.created(id: id, title: try checked(title), content: content, by: by, at: at)
      guard let fields else { return [created] }
      return [created] + (try changed(fields, nil, at))
    }
    guard let document = state else { throw .notFound }
    guard !document.isDeleted else { throw .deleted }
    switch command {
    case .create: throw .exists
    case .amend(let title, let status, let tags, let fields, let at):
      var events = try amend(document, title, status, tags, at)
      if let fields { events += try changed(fields, document.custom, at) }
      return events
    case .removeType(let at): return document.custom == nil ? [] : [.typed(nil, at: at)]
    case .replaceContent(let content, let evenIfSame, let at):
      // Equal content changes nothing.
      if !evenIfSame && document.content.map(content.isSame) == true { return [] }
      // The same content again, because its object was lost, is no other.
      guard document.openSession == nil || document.content.map(content.isSame) == true else { throw .isBeingSigned }
      return [.contentReplaced(content, at: at)]
    case .openSigning(let session, let shares, let at): return try openSigning(document, session, shares, at)
    case .closeSigning(let session, let at):
      return document.openSession == session ? [.signingClosed(session: session, at: at)] : []
    case .sign(let signature, let session, let at):
      guard document.status == .signed || document.status.successors.contains(.signed) else {
        throw .noTransition(from: document.status, to: .signed)
      }
      guard document.signatures.count < maximumSignatures else { throw .tooManySignatures(limit: maximumSignatures) }
      let signed = DocumentEvent.signed(signature: signature, from: document.status, at: at)
      guard let session, session == document.openSession else { return [signed] }
      return [signed, .signingClosed(session: session, at: at)]
    case .share(let share, let at): return try self.share(document, share, at)
    case .unshare(let grantee, let at):
      guard document.shares.contains(where: { $0.with == grantee }) else { throw .notShared(grantee) }
      return [.unshared(grantee, at: at)]
    case .label(let version, let label, let at): return try self.label(document, version, label, at)
    case .link(let link, let version, let at):
      guard version > .none, version <= document.version else { throw .noSuchVersion(version) }
      guard document.links.count < maximumLinks else { throw .tooManyLinks(limit: maximumLinks) }
      return [.linked(link: link, version: version, at: at)]
    case .unlink(let link, let at): return [.unlinked(link: link, at: at)]
    case .takeBack(let status, let tags, let custom, let at):
      let old = document.status
      guard old != .archived || status == old else { throw .noTransition(from: old, to: status) }
      return (status == old ? [] : [.statusChanged(from: old, to: status, at: at)])
        + (tags.elementsEqual(document.tags, by: { $0.utf8.elementsEqual($1.utf8) }) ? [] : [.tagged(tags, at: at)])
        + (custom == document.custom ? [] : [.typed(custom, at: at)])
    case .delete(let at):
      guard document.openSession == nil else { throw .isBeingSigned }
      return [.deleted(at: at)]
    }
  }

  private static func openSigning(
    _ document: Document, _ session: UUID, _ shares: [Share], _ at: Time.Timestamp
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    guard document.openSession == nil else { throw .signingIsOpen }
    guard document.sessions.count < maximumSessions else { throw .tooManySessions(limit: maximumSessions) }
    guard document.status == .signed || document.status.successors.contains(.signed) else {
      throw .noTransition(from: document.status, to: .signed)
    }
    return [.signingOpened(session: session, shares, at: at)]
  }

  private static func amend(
    _ document: Document, _ title: String?, _ status: DocumentStatus?, _ tags: [String]?, _ at: Time.Timestamp
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    var events: [DocumentEvent] = []
    // By bytes: “é” in one and in two code points are different titles.
    if let title, !title.utf8.elementsEqual(document.title.utf8) {
      events.append(.retitled(title: try checked(title), at: at))
    }
    if let status, status != document.status {
      guard document.status.successors.contains(status) else {
        throw .noTransition(from: document.status, to: status)
      }
      events.append(.statusChanged(from: document.status, to: status, at: at))
    }
    if let tags {
      guard let checked = Tags.checked(tags) else { throw .tagsAreMalformed }
      // Both are in order: equal sets are equal lists, byte by byte.
      if !checked.elementsEqual(document.tags, by: { $0.utf8.elementsEqual($1.utf8) }) {
        events.append(.tagged(checked, at: at))
      }
    }
    return events
  }

  private static func changed(
    _ change: FieldsChange, _ old: CustomFields?, _ at: Time.Timestamp
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    let name = change.definition.name
    guard change.setsType || old?.type == name else { throw .hasOtherType(old?.type, expected: name) }
    guard !change.definition.isRetired || old?.type == name else { throw .typeIsRetired(name) }
    do throws(FieldProblem) {
      let new = try change.applied(to: old)
      // A newer definition alone changes nothing.
      return new.isSame(as: old) ? [] : [.typed(new, at: at)]
    } catch { throw .field(error) }
  }

  private static func share(
    _ document: Document, _ share: Share, _ at: Time.Timestamp
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    if let until = share.until, until <= at { throw .shareIsOver(until: until) }
    guard !document.shares.contains(share) else { return [] }
    let others = document.shares.count { $0.with != share.with }
    guard others < maximumShares else { throw .tooManyShares(limit: maximumShares) }
    return [.shared(share, at: at)]
  }

  private static func label(
    _ document: Document, _ version: StreamVersion, _ label: String?, _ at: Time.Timestamp
  ) throws(DocumentRefusal) -> [DocumentEvent] {
    guard version > .none, version <= document.version else { throw .noSuchVersion(version) }
    guard document.labels[version] != label else { return [] }
    if let label {
      guard label.isReadable(upTo: maximumLabel) else { throw .labelIsMalformed(limit: maximumLabel) }
      guard document.labels[version] != nil || document.labels.count < maximumLabels else {
        throw .tooManyLabels(limit: maximumLabels)
      }
    }
    return [.labelled(version, label, at: at)]
  }

  private static func checked(_ title: String) throws(DocumentRefusal) -> String {
    guard title.contains(where: { !$0.isWhitespace }) else { throw .titleIsEmpty }
    // Postgres and several readers of the topic cannot hold it.
    guard !title.utf8.contains(0) else { throw .titleHasNUL }
    let count = title.utf8.count
    guard count <= maximumTitle else { throw .titleIsTooLong(count: count, limit: maximumTitle) }
    return title
  }

  public static func evolve(_ state: Document?, _ event: DocumentEvent, at version: StreamVersion) -> Document? {
    if case .created(let id, let title, let content, let by, let at) = event {
      return Document(
        id: id, title: title, content: content, status: .created, createdBy: by, createdAt: at, updatedAt: at,
        version: version)
    }
    guard var document = state else { return nil }
    document.version = version
    switch event {
    case .created: break
    case .retitled(let title, let at): (document.title, document.updatedAt) = (title, at)
    case .contentReplaced(let content, let at): (document.content, document.updatedAt) = (content, at)
    case .statusChanged(_, let to, let at): (document.status, document.updatedAt) = (to, at)
    case .signed(let signature, _, let at):
      document.signatures.append(signature)
      (document.status, document.updatedAt) = (.signed, at)
    case .shared(let share, let at):
      document.shares.removeAll { $0.with == share.with }
      document.shares.append(share)
      document.updatedAt = at
    case .unshared(let grantee, let at):
      document.shares.removeAll { $0.with == grantee }
      document.updatedAt = at
    case .tagged(let tags, let at): (document.tags, document.updatedAt) = (tags, at)
    case .typed(let custom, let at): (document.custom, document.updatedAt) = (custom, at)
    case .labelled(let labelled, let label, let at): (document.labels[labelled], document.updatedAt) = (label, at)
    case .signingOpened(let session, let shares, let at):
      document.sessions.append(session)
      (document.openSession, document.sessionShares, document.updatedAt) = (session, shares, at)
    case .signingClosed(_, let at):
      (document.openSession, document.sessionShares, document.updatedAt) = (nil, [], at)
    case .linked(let link, _, let at):
      document.links.append(link)
      document.updatedAt = at
    case .unlinked(_, let at): document.updatedAt = at
    case .deleted(let at): (document.isDeleted, document.updatedAt) = (true, at)
    }
    return document
  }
}
