public import Events
public import Identifiers
public import Time

/// A request concerning a signature. It carries the time: decisions have no clock.
public enum SignatureCommand: Sendable {
  case give(
    id: UUID, document: UUID, email: String, name: String, image: SignatureImage, signed: SignedDocument,
    consent: SignatureConsent? = nil, at: Time.Timestamp)
}

/// The rule that a command on a signature broke.
public enum SignatureRefusal: Refusal, Equatable, Sendable {
  case signedAlready
  case emailIsMalformed
  case nameIsEmpty
  case nameIsTooLong(count: Int, limit: Int)

  public var kind: RefusalKind {
    switch self {
    case .signedAlready: .conflict
    case .emailIsMalformed, .nameIsEmpty, .nameIsTooLong: .invalid
    }
  }

  public var field: String? {
    switch self {
    case .signedAlready, .emailIsMalformed: "/signer_email"
    case .nameIsEmpty, .nameIsTooLong: "/signer_name"
    }
  }

  public var description: String {
    switch self {
    case .signedAlready: "this person has signed the document already"
    case .emailIsMalformed: "an e-mail address looks like name@example.com"
    case .nameIsEmpty: "a name needs at least one character that is not blank"
    case .nameIsTooLong(let count, let limit): "a name has at most \(limit) bytes of UTF-8, this one has \(count)"
    }
  }
}

/// The rules of signatures.
extension Signature: Aggregate {
  public static let category: StaticString = "signature"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: SignatureCommand, _ state: Signature?
  ) throws(SignatureRefusal) -> [SignatureEvent] {
    switch command {
    case .give(let id, let document, let email, let name, let image, let signed, let consent, let at):
      guard state == nil else { throw .signedAlready }
      try check(email: email, name: name)
      return [
        .given(
          id: id, document: document, email: email, name: name, image: image, signed: signed, consent: consent, at: at)
      ]
    }
  }

  /// The rules of a signer's name and address.
  public static func check(email: String, name: String) throws(SignatureRefusal) {
    guard isAddress(email) else { throw .emailIsMalformed }
    guard name.contains(where: { !$0.isWhitespace }), !name.utf8.contains(0) else { throw .nameIsEmpty }
    let count = name.utf8.count
    guard count <= maximumName else { throw .nameIsTooLong(count: count, limit: maximumName) }
  }

  /// The form of an address, without comments and quoted parts: RFC 5321's lengths, a domain of at least two labels.
  private static func isAddress(_ text: String) -> Bool {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard text.utf8.count <= 254, parts.count == 2, (1...64).contains(parts[0].utf8.count) else { return false }
    guard
      text.unicodeScalars.allSatisfy({
        $0.value > 0x20 && $0.value != 0x7F && !"()<>,;:\\\"[]".unicodeScalars.contains($0)
      })
    else { return false }
    let labels = parts[1].split(separator: ".", omittingEmptySubsequences: false)
    return labels.count >= 2
      && labels.allSatisfy { (1...63).contains($0.utf8.count) && $0.first != "-" && $0.last != "-" }
      && !parts[0].hasPrefix(".") && !parts[0].hasSuffix(".") && !parts[0].contains("..")
  }

  public static func evolve(_ state: Signature?, _ event: SignatureEvent, at version: StreamVersion) -> Signature? {
    switch event {
    case .given(let id, let document, let email, let name, let image, let signed, let consent, let at):
      Signature(
        id: id, documentID: document, signerEmail: email, signerName: name, image: image, signed: signed, createdAt: at,
        consent: consent, version: version)
    }
  }
}
