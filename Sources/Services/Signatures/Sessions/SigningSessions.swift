import Crypto
import Domain
import EventStore
import Events
import HTTPServer
import Identifiers
import Time

/// The commands and readings of signing sessions. What a session and its document say changes in one transaction.
struct SigningSessions: Sendable {
  let store: EventStore
  private let dueTimes: DueTimes

  init(_ store: EventStore) {
    self.store = store
    dueTimes = DueTimes(store, category: SigningSession.category)
  }

  /// What a route asks for.
  struct Opening: Sendable {
    let order: SigningSession.Order
    let participants: [Participant]
    let consent: String
    let expires: Timestamp?
    let reminderInterval: Duration?
  }

  func open(
    on document: UUID, _ opening: Opening, metadata: EventMetadata,
    command: (key: String, request: [UInt8], answer: (SigningSession) -> [UInt8])?
  ) async throws -> SigningSession {
    let (id, now) = (UUID.version7(), Timestamp.now())
    func opened(_ shown: SignedDocument, _ at: Timestamp) -> SigningSessionCommand {
      .open(
        id: id, document: document, shown: shown, order: opening.order, participants: opening.participants,
        consent: opening.consent, consentHash: SHA256.hash(Array(opening.consent.utf8)).hexadecimal,
        expires: opening.expires, reminderInterval: opening.reminderInterval, by: metadata.actor, at: at)
    }
    // Refused before its times are noted.
    let none = SignedDocument(contentHash: nil, version: .none)
    let expected = SigningSession.newEvents(try SigningSession.decide(opened(none, now), nil), from: nil, at: .none)
    let opens = DocumentCommand.openSigning(
      session: id, participants: opening.participants, until: opening.expires, at: now)
    _ = try Document.decide(opens, try await AggregateStore<Document>(store).load(document.description).state)
    if let due = expected.state?.due { try await dueTimes.note(id.description, at: due) }
    return try await store.together(metadata: metadata, command: command) { unit in
      let loaded = try await unit.load(document.description, Document.self)
      let shown = SignedDocument(contentHash: loaded.state?.content?.hash, version: loaded.version)
      try unit.execute(opens, on: document.description, loaded)
      guard let session = try unit.execute(opened(shown, now), on: id.description, nil, as: SigningSession.self) else {
        throw SigningSessionRefusal.exists
      }
      return session
    }
  }

  /// Carries out a command on a session of a document. If the session ends, the document is free again.
  func execute(
    _ id: UUID, of document: UUID, metadata: EventMetadata, _ command: (Timestamp) -> SigningSessionCommand
  ) async throws -> SigningSession {
    let session = try await store.together(metadata: metadata) { unit in
      let loaded = try await unit.load(id.description, SigningSession.self)
      guard let state = loaded.state, state.documentID == document else { throw SigningSessionRefusal.notFound }
      let now = Timestamp.now()
      let session = try unit.execute(command(now), on: id.description, loaded) ?? state
      if state.status == .open, session.status != .open {
        let loaded = try await unit.load(document.description, Document.self)
        try unit.execute(.closeSigning(session: id, at: now), on: document.description, loaded)
      }
      return session
    }
    // Otherwise whoever looks next finds nothing to do.
    if session.status != .open { try? await dueTimes.forget(id.description) }
    return session
  }

  func session(_ id: UUID, of document: UUID) async throws -> SigningSession {
    let session = try await AggregateStore<SigningSession>(store).load(id.description).state
    guard let session, session.documentID == document else { throw SigningSessionRefusal.notFound }
    if try await AggregateStore<Document>(store).load(document.description).state?.isDeleted != false {
      throw DocumentRefusal.deleted
    }
    return session
  }

  /// The sessions of a document, the newest first.
  ///
  /// - Parameter limit: The most in the answer.
  func sessions(of document: UUID, limit: Int) async throws -> [SigningSession] {
    guard let state = try await AggregateStore<Document>(store).load(document.description).state else {
      throw DocumentRefusal.notFound
    }
    guard !state.isDeleted else { throw DocumentRefusal.deleted }
    var sessions: [SigningSession] = []
    for id in state.sessions.suffix(limit).reversed() {
      if let session = try await AggregateStore<SigningSession>(store).load(id.description).state {
        sessions.append(session)
      }
    }
    return sessions
  }

  // MARK: What is due

  private static let actor = "annals"
  private static let page = 100
  /// How long until a session is looked at again that failed, or whose opening may still be under way.
  private static let wait: Int64 = 60_000_000

  /// Ends sessions and reminds participants as it is due. One that fails is left for later and holds up no other.
  ///
  /// - Parameter failed: Told the session and the error.
  /// - Returns: True if there may be more.
  func look(_ failed: (String, any Error) -> Void) async throws -> Bool {
    let entries = try await dueTimes.due(limit: Self.page)
    for entry in entries {
      var next: Timestamp? = Timestamp(microseconds: Timestamp.now().microseconds + Self.wait)
      do {
        if let state = try await AggregateStore<SigningSession>(store).load(entry.id).state {
          next = try await execute(
            state.id, of: state.documentID, metadata: EventMetadata(actor: Self.actor)
          ) { .look(at: $0) }.due
        } else if entry.isOld {
          next = nil
        }
      } catch {
        if Task.isCancelled { throw CancellationError() }
        failed(entry.id, error)
      }
      try await dueTimes.settle(entry, next: next)
    }
    return entries.count == Self.page
  }
}
