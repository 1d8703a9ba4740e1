public import Events
public import Identifiers
import JSON
public import Time

/// The signing of one document by several people, as its events have made it: who is asked for what, in which order, until when,
/// and what each has done.
public struct SigningSession: Equatable, Sendable {
  public enum Order: String, CaseIterable, Sendable {
    /// Each is asked when all before him are done.
    case sequence
    case parallel
  }

  public enum Status: String, CaseIterable, Sendable {
    case open, completed, declined, expired, cancelled
  }

  public let id: UUID
  public let documentID: UUID
  /// What is signed: it does not change while the session is open.
  public let shown: SignedDocument
  public let order: Order
  public internal(set) var participants: [Participant]
  /// What each signer agrees to.
  public let consent: String
  /// SHA-256 of the consent's text, in hexadecimal digits.
  public let consentHash: String
  public let expires: Time.Timestamp?
  /// How often those whose turn it is are reminded.
  public let reminderInterval: Duration?
  /// The content is sealed once the session is completed.
  public let wantsSeal: Bool
  public internal(set) var seal: SessionSeal?
  public internal(set) var sealedAt: Time.Timestamp?
  /// Why it cannot be sealed.
  public internal(set) var sealProblem: String?
  public internal(set) var createdBy: String
  public let createdAt: Time.Timestamp
  public internal(set) var status = Status.open
  /// Why it was declined or cancelled.
  public internal(set) var reason: String?
  public internal(set) var endedAt: Time.Timestamp?
  public internal(set) var remindedAt: Time.Timestamp?
  public internal(set) var reminders = 0
  /// Who declined.
  public internal(set) var declinedBy: String?
  /// The stream's.
  public internal(set) var version: StreamVersion

  public static let maximumParticipants = 50
  /// Of a consent's text, and of a reason, in bytes of UTF-8.
  public static let maximumText = 4_000
  /// How often a session reminds.
  public static let maximumReminders = 100
  public static let shortestReminder = Duration.seconds(60)
  public static let longestReminder = Duration.seconds(366 * 86_400)

  /// Whose turn it is: those who sign or approve, in their order or all at once.
  public var pending: [Participant] { asked.map { participants[$0] } }

  private var asked: [Int] {
    guard status == .open else { return [] }
    let left = participants.indices.filter { participants[$0].role != .viewer && participants[$0].done == nil }
    return order == .parallel ? left : Array(left.prefix(1))
  }

  public var nextReminder: Time.Timestamp? {
    guard status == .open, let reminderInterval, reminders < Self.maximumReminders else { return nil }
    let last = remindedAt ?? createdAt
    return Timestamp(microseconds: last.microseconds + reminderInterval.components.seconds * 1_000_000)
  }

  /// When something happens by itself next; nil: never.
  public var due: Time.Timestamp? {
    guard status == .open else { return nil }
    return [expires, nextReminder].compactMap(\.self).min()
  }

  /// It is completed, and its seal is missing.
  public var isToBeSealed: Bool { status == .completed && wantsSeal && seal == nil && sealProblem == nil }

  /// What those may see of it who neither own the document nor take part.
  public var withoutNames: SigningSession {
    var session = self
    for index in participants.indices {
      (session.participants[index].email, session.participants[index].name) = ("", "")
    }
    (session.reason, session.declinedBy, session.createdBy) = (nil, nil, "")
    return session
  }

  public func participant(_ email: String) -> Participant? { participants.first { $0.isCalled(email) } }
}

/// Somebody whom a session asks.
public struct Participant: Equatable, Sendable {
  public enum Role: String, CaseIterable, Sendable {
    case signer
    /// Agrees without a signature.
    case approver
    /// May look on.
    case viewer
  }

  /// What he has done, and when.
  public struct Done: Equatable, Sendable {
    /// Nil: an approval.
    public let signature: UUID?
    public let at: Time.Timestamp

    public init(signature: UUID?, at: Time.Timestamp) { (self.signature, self.at) = (signature, at) }
  }

  public internal(set) var email: String
  public internal(set) var name: String
  public let role: Role
  public internal(set) var done: Done?

  public init(email: String, name: String, role: Role) { (self.email, self.name, self.role) = (email, name, role) }

  /// By the rule by which rights are given.
  func isCalled(_ email: String) -> Bool { ExactName(self.email) == ExactName(email) }

  /// What he needs on the document, beside what is shared with him, and no longer than the session is open.
  public func share(until: Time.Timestamp?) -> Share {
    Share(with: Grantee(.user, email), role == .viewer ? .view : [.view, .sign], until: until)
  }
}

/// A document's content with a digital signature of Annals' own over all of it (PAdES), made when a session was completed.
public struct SessionSeal: Equatable, Sendable {
  /// PAdES' baseline levels (ETSI EN 319 142-1).
  public enum Level: String, CaseIterable, Sendable {
    case basic = "B-B"
    /// With the time by an authority.
    case timestamped = "B-T"
  }

  /// The signed PDF.
  public let content: DocumentContent
  public let level: Level
  /// SHA-256 of the certificate, in hexadecimal digits.
  public let certificateHash: String

  public init(content: DocumentContent, level: Level, certificateHash: String) {
    (self.content, self.level, self.certificateHash) = (content, level, certificateHash)
  }
}

extension SigningSession {
  /// The row image: the form of a session in change events and answers. The order of the fields is fixed.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 1_024)
    let turn = asked
    writer.object { writer in
      writer.member("id", id.description)
      writer.member("document_id", documentID.description)
      writer.member("document_version", shown.version.value)
      writer.member("document_sha256", orNull: shown.contentHash)
      writer.member("status", status.rawValue)
      writer.member("order", order.rawValue)
      writer.objects("participants", of: participants.enumerated()) { writer, entry in
        let (index, participant) = entry
        writer.member("email", participant.email)
        writer.member("name", participant.name)
        writer.member("role", participant.role.rawValue)
        writer.member("turn", turn.contains(index))
        writer.member("signature_id", orNull: participant.done?.signature?.description)
        writer.member("done_at", orNull: participant.done?.at.description)
      }
      writer.member("consent", consent)
      writer.member("consent_sha256", consentHash)
      writer.member("expires_at", orNull: expires?.description)
      writer.name("remind_every_seconds")
      if let reminderInterval { writer.integer(reminderInterval.components.seconds) } else { writer.null() }
      writer.member("reminded_at", orNull: remindedAt?.description)
      if wantsSeal { writeSeal(&writer) }
      writer.member("declined_by", orNull: declinedBy)
      writer.member("reason", orNull: reason)
      writer.member("created_by", createdBy)
      writer.member("created_at", createdAt.description)
      writer.member("ended_at", orNull: endedAt?.description)
      writer.member("version", version.value)
    }
    return writer.bytes
  }

  private func writeSeal(_ writer: inout JSONWriter) {
    writer.name("seal")
    writer.object { writer in
      writer.member("status", seal != nil ? "done" : sealProblem != nil ? "failed" : "pending")
      if let seal {
        writer.member("level", seal.level.rawValue)
        writer.member("size", seal.content.size)
        writer.member("sha256", seal.content.hash)
        writer.member("certificate_sha256", seal.certificateHash)
        writer.member("sealed_at", orNull: sealedAt?.description)
      }
      if let sealProblem { writer.member("problem", sealProblem) }
    }
  }
}
