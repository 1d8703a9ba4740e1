public import Events
public import Identifiers
public import Time

/// A request concerning a session. It carries the time: decisions have no clock.
public enum SigningSessionCommand: Sendable {
  case open(
    id: UUID, document: UUID, shown: SignedDocument, order: SigningSession.Order, participants: [Participant],
    consent: String, consentHash: String, expires: Time.Timestamp?, reminderInterval: Duration?,
    wantsSeal: Bool = false, by: String, at: Time.Timestamp)
  case sign(email: String, signature: UUID, at: Time.Timestamp)
  case approve(email: String, at: Time.Timestamp)
  case decline(email: String, reason: String, at: Time.Timestamp)
  case cancel(reason: String?, at: Time.Timestamp)
  /// The content is sealed.
  case seal(SessionSeal, at: Time.Timestamp)
  /// It cannot be.
  case giveUpSeal(reason: String, at: Time.Timestamp)
  /// What is due by then happens: the end, or a reminder.
  case look(at: Time.Timestamp)
}

/// The rule that a command on a session broke.
public enum SigningSessionRefusal: Refusal, Equatable, Sendable {
  case notFound
  case exists
  case isOver(SigningSession.Status)
  case isExpired(Time.Timestamp)
  case noSigner
  case tooManyParticipants(limit: Int)
  case namedTwice(String)
  case participantIsMalformed(Int, String)
  case notParticipant
  case notAskedForThat(Participant.Role)
  case notYet(before: String)
  case doneAlready
  case expiresInThePast
  case reminderIsMalformed(least: Duration, most: Duration)
  case textIsMalformed(String, limit: Int)

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .exists, .isOver, .isExpired, .notParticipant, .notAskedForThat, .notYet, .doneAlready: .conflict
    case .noSigner, .tooManyParticipants, .namedTwice, .participantIsMalformed, .expiresInThePast, .reminderIsMalformed,
      .textIsMalformed:
      .invalid
    }
  }

  public var field: String? {
    switch self {
    case .notFound, .exists, .isOver, .isExpired: nil
    case .noSigner, .tooManyParticipants, .namedTwice: "/participants"
    case .participantIsMalformed(let index, _): "/participants/\(index)"
    case .notParticipant, .notAskedForThat, .notYet, .doneAlready: "/email"
    case .expiresInThePast: "/expires_at"
    case .reminderIsMalformed: "/remind_every_seconds"
    case .textIsMalformed(let field, _): "/\(field)"
    }
  }

  public var description: String {
    switch self {
    case .notFound: "the document has no such signing session"
    case .exists: "a session with this id exists"
    case .isOver(let status): "the session is \(status.rawValue): open another one"
    case .isExpired(let time): "the session ended at \(time): open another one"
    case .noSigner: "a session needs a signer"
    case .tooManyParticipants(let limit): "a session has at most \(limit) participants"
    case .namedTwice(let email): "“\(email.prefix(80))” is named twice"
    case .participantIsMalformed(_, let problem): problem
    case .notParticipant: "the session does not ask this person: only its participants sign while it is open"
    case .notAskedForThat(let role): "the session asks this person as \(role.rawValue)"
    case .notYet(let email): "it is not this person's turn: “\(email.prefix(80))” is asked first"
    case .doneAlready: "this person has done that already"
    case .expiresInThePast: "that time has passed: name a later one, or none"
    case .reminderIsMalformed(let least, let most):
      "reminders come every \(least.components.seconds) to \(most.components.seconds) seconds"
    case .textIsMalformed(_, let limit):
      "a text of 1 to \(limit) bytes of UTF-8 is needed, not all of them blank, without U+0000"
    }
  }
}

/// The rules of sessions.
extension SigningSession: Aggregate {
  public static let category: StaticString = "signing_session"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: SigningSessionCommand, _ state: SigningSession?
  ) throws(SigningSessionRefusal) -> [SigningSessionEvent] {
    if case .open = command { return try open(command, state) }
    guard let session = state else { throw .notFound }
    if case .look(let at) = command {
      guard session.status == .open else { return [] }
      if let expires = session.expires, expires <= at { return [.expired(at: at)] }
      guard let reminder = session.nextReminder, reminder <= at else { return [] }
      return [.reminded(session.pending.map(\.email), at: at)]
    }
    switch command {
    case .seal(let seal, let at): return session.isToBeSealed ? [.sealed(seal, at: at)] : []
    case .giveUpSeal(let reason, let at): return session.isToBeSealed ? [.sealFailed(reason: reason, at: at)] : []
    default: break
    }
    guard session.status == .open else { throw .isOver(session.status) }
    switch command {
    case .open, .look, .seal, .giveUpSeal: return []
    case .cancel(let reason, let at):
      if let reason { try check(reason, "reason") }
      return [.cancelled(reason: reason, at: at)]
    case .decline(let email, let reason, let at):
      try check(reason, "reason")
      let participant = try session.asked(email, at)
      guard participant.role != .viewer else { throw .notAskedForThat(.viewer) }
      guard participant.done == nil else { throw .doneAlready }
      return [.declined(email: participant.email, reason: reason, at: at)]
    case .sign(let email, let signature, let at):
      return try session.done(email, .signer, .signed(email: email, signature: signature, at: at), at)
    case .approve(let email, let at):
      return try session.done(email, .approver, .approved(email: email, at: at), at)
    }
  }

  private static func open(
    _ command: SigningSessionCommand, _ state: SigningSession?
  ) throws(SigningSessionRefusal) -> [SigningSessionEvent] {
    guard
      case .open(
        let id, let document, let shown, let order, let participants, let consent, let consentHash, let expires,
        let reminderInterval, let wantsSeal, let by, let at) = command
    else { return [] }
    guard state == nil else { throw .exists }
    guard participants.count <= maximumParticipants else { throw .tooManyParticipants(limit: maximumParticipants) }
    for (index, participant) in participants.enumerated() {
      do { try Signature.check(email: participant.email, name: participant.name) } catch {
        throw .participantIsMalformed(index, error.description)
      }
      // By this name he gets his rights.
      guard Grantee("user:\(participant.email)") != nil else {
        throw .participantIsMalformed(index, "an address has at most \(Grantee.maximumName) bytes here")
      }
      guard !participants[..<index].contains(where: { $0.isCalled(participant.email) }) else {
        throw .namedTwice(participant.email)
      }
    }
    guard participants.contains(where: { $0.role == .signer }) else { throw .noSigner }
    if let expires, expires <= at { throw .expiresInThePast }
    if let reminderInterval, !(shortestReminder...longestReminder).contains(reminderInterval) {
      throw .reminderIsMalformed(least: shortestReminder, most: longestReminder)
    }
    try check(consent, "consent")
    return [
      .opened(
        id: id, document: document, shown: shown, order: order, participants: participants, consent: consent,
        consentHash: consentHash, expires: expires, reminderInterval: reminderInterval, wantsSeal: wantsSeal, by: by,
        at: at)
    ]
  }

  /// The participant of an address, in time.
  private func asked(_ email: String, _ at: Time.Timestamp) throws(SigningSessionRefusal) -> Participant {
    // Nobody has looked yet, but it is over.
    if let expires, expires <= at { throw .isExpired(expires) }
    guard let participant = participant(email) else { throw .notParticipant }
    return participant
  }

  private func done(
    _ email: String, _ role: Participant.Role, _ event: SigningSessionEvent, _ at: Time.Timestamp
  ) throws(SigningSessionRefusal) -> [SigningSessionEvent] {
    let participant = try asked(email, at)
    guard participant.role == role else { throw .notAskedForThat(participant.role) }
    guard participant.done == nil else { throw .doneAlready }
    let pending = pending
    guard pending.contains(where: { $0.isCalled(email) }) else { throw .notYet(before: pending.first?.email ?? "") }
    let isLast = participants.count { $0.role != .viewer && $0.done == nil } == 1
    return isLast ? [event, .completed(at: at)] : [event]
  }

  private static func check(_ text: String, _ field: String) throws(SigningSessionRefusal) {
    guard text.isReadable(upTo: maximumText) else { throw .textIsMalformed(field, limit: maximumText) }
  }

  public static func evolve(
    _ state: SigningSession?, _ event: SigningSessionEvent, at version: StreamVersion
  ) -> SigningSession? {
    if case .opened(
      let id, let document, let shown, let order, let participants, let consent, let consentHash, let expires,
      let reminderInterval, let wantsSeal, let by, let at) = event
    {
      return SigningSession(
        id: id, documentID: document, shown: shown, order: order, participants: participants, consent: consent,
        consentHash: consentHash, expires: expires, reminderInterval: reminderInterval, wantsSeal: wantsSeal,
        createdBy: by, createdAt: at,
        version: version)
    }
    guard var session = state else { return nil }
    session.version = version
    func note(_ email: String, _ done: Participant.Done) {
      guard let index = session.participants.firstIndex(where: { $0.isCalled(email) }) else { return }
      session.participants[index].done = done
    }
    func end(_ status: Status, _ reason: String?, _ at: Time.Timestamp) {
      (session.status, session.reason, session.endedAt) = (status, reason, at)
    }
    switch event {
    case .opened: break
    case .signed(let email, let signature, let at): note(email, .init(signature: signature, at: at))
    case .approved(let email, let at): note(email, .init(signature: nil, at: at))
    case .reminded(_, let at):
      session.remindedAt = at
      session.reminders += 1
    case .completed(let at): end(.completed, nil, at)
    case .declined(let email, let reason, let at):
      session.declinedBy = email
      end(.declined, reason, at)
    case .cancelled(let reason, let at): end(.cancelled, reason, at)
    case .expired(let at): end(.expired, nil, at)
    case .sealed(let seal, let at): (session.seal, session.sealedAt) = (seal, at)
    case .sealFailed(let reason, _): session.sealProblem = reason
    }
    return session
  }
}
