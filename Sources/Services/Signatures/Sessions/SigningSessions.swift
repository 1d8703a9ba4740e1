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
  private let sealTimes: DueTimes
  private let sealer: DocumentSealer?

  /// - Parameter sealer: nil: sessions are not sealed.
  init(_ store: EventStore, sealer: DocumentSealer?) {
    (self.store, self.sealer) = (store, sealer)
    dueTimes = DueTimes(store, category: SigningSession.category)
    sealTimes = DueTimes(store, category: "signing_seal")
  }

  /// What a route asks for.
  struct Opening: Sendable {
    let order: SigningSession.Order
    let participants: [Participant]
    let consent: String
    let expires: Timestamp?
    let reminderInterval: Duration?
    /// nil: if it can be.
    let seal: Bool?
  }

  func open(
    on document: UUID, _ opening: Opening, metadata: EventMetadata,
    command: (key: String, request: [UInt8], answer: (SigningSession) -> [UInt8])?
  ) async throws -> SigningSession {
    let (id, now) = (UUID.version7(), Timestamp.now())
    func opened(_ shown: SignedDocument, seal: Bool, _ at: Timestamp) -> SigningSessionCommand {
      .open(
        id: id, document: document, shown: shown, order: opening.order, participants: opening.participants,
        consent: opening.consent, consentHash: SHA256.hash(Array(opening.consent.utf8)).hexadecimal,
        expires: opening.expires, reminderInterval: opening.reminderInterval, wantsSeal: seal, by: metadata.actor,
        at: at)
    }
    // Refused before its times are noted.
    let none = SignedDocument(contentHash: nil, version: .none)
    let expected = SigningSession.newEvents(
      try SigningSession.decide(opened(none, seal: false, now), nil), from: nil, at: .none)
    let opens = DocumentCommand.openSigning(
      session: id, shares: opening.participants.map { $0.share(until: opening.expires) }, at: now)
    _ = try Document.decide(opens, try await AggregateStore<Document>(store).load(document.description).state)
    if let due = expected.state?.due { try await dueTimes.note(id.description, at: due) }
    if sealer != nil, opening.seal != false { try await sealTimes.note(id.description, at: Self.later(Self.glance)) }
    return try await store.together(metadata: metadata, command: command) { unit in
      let loaded = try await unit.load(document.description, Document.self)
      let shown = SignedDocument(contentHash: loaded.state?.content?.hash, version: loaded.version)
      let seal = try wantsSeal(opening, loaded.state?.content)
      try unit.execute(opens, on: document.description, loaded)
      guard
        let session = try unit.execute(opened(shown, seal: seal, now), on: id.description, nil, as: SigningSession.self)
      else {
        throw SigningSessionRefusal.exists
      }
      return session
    }
  }

  /// - Throws: A problem if a seal is asked for that cannot be made.
  private func wantsSeal(_ opening: Opening, _ content: DocumentContent?) throws(Problem) -> Bool {
    let isPossible = sealer != nil && DocumentSealer.accepts(content)
    guard opening.seal == true, !isPossible else { return isPossible && opening.seal != false }
    throw Problem(
      422, "Invalid body",
      detail: sealer == nil
        ? "nothing is sealed here: signing.seal-key is not set"
        : "only a PDF of at most \(DocumentSealer.maximum) bytes is sealed", field: "/seal")
  }

  /// Notes that a session may be completed by what is done next: its seal is due then. To be called before, and after.
  ///
  /// - Parameter seconds: How long that may take.
  func noteSeal(_ session: SigningSession?, in seconds: Int64) async throws {
    guard let session, session.wantsSeal, session.status == .open || session.isToBeSealed else { return }
    try await sealTimes.note(session.id.description, at: Self.later(seconds * 1_000_000))
  }

  /// Carries out a command on a session of a document. If the session ends, the document is free again.
  func execute(
    _ id: UUID, of document: UUID, metadata: EventMetadata, _ command: (Timestamp) -> SigningSessionCommand
  ) async throws -> SigningSession {
    let session = try await store.together(metadata: metadata) { unit in
      let loaded = try await unit.load(id.description, SigningSession.self)
      guard let state = loaded.state, state.documentID == document else { throw SigningSessionRefusal.notFound }
      if state.status == .open { try await noteSeal(state, in: 30) }
      let now = Timestamp.now()
      let session = try unit.execute(command(now), on: id.description, loaded) ?? state
      if state.status == .open, session.status != .open {
        let loaded = try await unit.load(document.description, Document.self)
        try unit.execute(.closeSigning(session: id, at: now), on: document.description, loaded)
      }
      return session
    }
    // Otherwise whoever looks next finds nothing to do.
    if session.isToBeSealed { try? await noteSeal(session, in: 0) }
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
  private static let wait: Int64 = 10_000_000
  /// How often an open session is looked at that will be sealed: the note of its completion may be lost by a stop.
  private static let glance: Int64 = 3_600_000_000
  /// After this time without an answer by the authority for time, or the object store, it is not sealed any more.
  private static let longestSealing: Int64 = 7 * 86_400_000_000

  private static func later(_ microseconds: Int64) -> Timestamp {
    Timestamp(microseconds: Timestamp.now().microseconds + microseconds)
  }

  /// How long others leave a session alone that is being sealed: longer than its object and its time take.
  private static let hold = Duration.seconds(300)

  /// Seals the next session, if one is due.
  func lookAtSeals(_ failed: (String, any Error) -> Void) async throws -> Bool {
    guard let entry = try await sealTimes.due(limit: 1).first else { return false }
    do {
      let session = try await AggregateStore<SigningSession>(store).load(entry.id).state
      guard let session, session.status == .open || session.isToBeSealed else {
        // Its opening may be under way, for as long as the note is young.
        try await sealTimes.settle(entry, next: session == nil && !entry.isOld ? Self.later(Self.glance) : nil)
        return true
      }
      guard session.isToBeSealed else {
        try await sealTimes.settle(entry, next: session.wantsSeal ? Self.later(Self.glance) : nil)
        return true
      }
      let held = try await sealTimes.hold(entry, for: Self.hold)
      do {
        // Another process may have the key.
        try await sealTimes.settle(held, next: try await seal(session) ? nil : Self.later(Self.wait))
      } catch {
        if !Task.isCancelled { try await sealTimes.settle(held, next: Self.later(Self.wait)) }
        throw error
      }
    } catch {
      if Task.isCancelled { throw CancellationError() }
      failed("the seal of session \(entry.id)", error)
    }
    return true
  }

  /// Seals what was signed, or notes why that cannot be.
  ///
  /// - Returns: False if this process has no key: another one may have it.
  private func seal(_ session: SigningSession) async throws -> Bool {
    let waited = Timestamp.now().microseconds - (session.endedAt?.microseconds ?? 0)
    let isLate = waited > Self.longestSealing
    guard sealer != nil || isLate else { return false }
    var command: SigningSessionCommand
    do {
      guard let sealer else { throw DocumentSealer.Unsealable(description: "signing.seal-key was not set any more") }
      let shown = try await AggregateStore<Document>(store)
        .load(session.documentID.description, asOf: .version(session.shown.version)).state
      guard let content = shown?.content else {
        throw DocumentSealer.Unsealable(description: "there was no content in the version that was signed")
      }
      command = .seal(try await sealer.seal(content, of: session), at: .now())
    } catch let error as DocumentSealer.Unsealable {
      command = .giveUpSeal(reason: error.description, at: .now())
    } catch {
      guard isLate else { throw error }
      // Not the error: others than operators read this.
      command = .giveUpSeal(
        reason: "the key, the object store or the authority for time could not be used for seven days", at: .now())
    }
    _ = try await AggregateStore<SigningSession>(store).execute(
      command, on: session.id.description, metadata: EventMetadata(actor: Self.actor))
    return true
  }

  /// Ends sessions and reminds participants as it is due. One that fails is left for later and holds up no other.
  func look(_ failed: (String, any Error) -> Void) async throws -> Bool {
    let entries = try await dueTimes.due(limit: Self.page)
    for entry in entries {
      var next: Timestamp? = Self.later(Self.wait)
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
        failed("session \(entry.id)", error)
      }
      try await dueTimes.settle(entry, next: next)
    }
    return entries.count == Self.page
  }
}
