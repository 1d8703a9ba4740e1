import Configuration
import Crypto
import Domain
import EventStore
import HTTPClient
import Identifiers
import PDF
import Reactor
import S3
import Time

/// Seals the PDFs of completed signing sessions: PAdES B-B, or B-T with an authority for time (ETSI EN 319 142-1). The document's
/// content stays as it is; the sealed PDF is an object of its own, `seals/<day>/<session>/<hash>`.
struct DocumentSealer: Sendable {
  private let objects: S3Client
  private let http: HTTPClient
  private let key: SigningKey
  private let authority: String
  private let reactor: Reactor

  static let prefix = "seals"
  static let type = "application/pdf"
  /// The largest PDF that is sealed: it is in memory meanwhile.
  static let maximum: Int64 = 64 << 20
  /// For the signature with its certificates and the token, in bytes.
  private static let room = 32_768

  /// It is not sealed, and will not be.
  struct Unsealable: Error, CustomStringConvertible {
    let description: String
  }

  struct OutOfMemory: Error, CustomStringConvertible {
    let description = "the PDF cannot be prepared now: there is no memory or no space for it, or its process was ended"
  }

  /// The authority for time gives none now.
  struct NoTime: Error, CustomStringConvertible {
    let description: String
  }

  /// - Returns: nil if no key is set.
  init?(_ context: Context) throws {
    guard let key = try SealSettings.load(context.settings) else { return nil }
    self.key = key
    (objects, http, authority) = (context.content, context.http, context.settings[SealSettings.authority])
    reactor = context.reactor
  }

  /// What the events of sessions name.
  static func contents(_ store: EventStore) -> StoredContents {
    let sessions = AggregateStore<SigningSession>(store)
    return StoredContents(prefix: prefix) { id in
      Set([try await sessions.load(id).state?.seal?.content.key].compactMap(\.self))
    }
  }

  /// Whether a content can be sealed at all; its bytes may still say no.
  static func accepts(_ content: DocumentContent?) -> Bool {
    guard let content else { return false }
    return content.type.prefix { $0 != ";" } == type && content.size <= maximum
  }

  /// Seals a content, and stores the sealed PDF.
  ///
  /// - Throws: `Unsealable`; errors of the object store, and `NoTime`: later it may succeed.
  func seal(_ content: DocumentContent, of session: SigningSession) async throws -> SessionSeal {
    try key.checkTime()
    let original = try await bytes(of: content)
    let now = Timestamp.now()
    let signers = session.participants.filter { $0.done?.signature != nil }.map { "\($0.name) <\($0.email)>" }
    let note = SealablePDF.Note(
      field: "Seal-\(session.id)", signer: key.subject,
      reason: String("Signing session \(session.id), signed by \(signers.joined(separator: ", "))".prefix(1_000)),
      date: Self.date(now))
    var pdf = try await SealPreparation.prepare(original, note, room: Self.room, on: reactor)
    let prepared = pdf
    let hash = await Reactor.offLoop {
      let hash = SHA256.Running()
      for range in [prepared.signed.0, prepared.signed.1] { hash.update(Array(prepared.bytes[range])) }
      return hash.finish()
    }
    let signature = try key.sign(hash: hash)
    if !authority.isEmpty { try signature.add(timestamp: try await token(for: signature.value)) }
    do { try pdf.insert(signature.der) } catch { throw Unsealable(description: error.description) }
    let sealed = pdf.bytes
    let digest = await Reactor.offLoop { SHA256.hash(sealed).hexadecimal }
    let name = StoredContents.key(Self.prefix, of: session.id.description, name: digest)
    try await objects.put(name, sealed, contentType: Self.type)
    return SessionSeal(
      content: DocumentContent(type: Self.type, size: Int64(sealed.count), key: name, hash: digest),
      level: authority.isEmpty ? .basic : .timestamped, certificateHash: key.certificateHash.hexadecimal)
  }

  /// What was signed, as its event names it.
  private func bytes(of content: DocumentContent) async throws -> [UInt8] {
    guard Self.accepts(content) else {
      throw Unsealable(description: "the content is no PDF of at most \(Self.maximum) bytes")
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(content.size))
    let download = try await objects.read(content.key)
    while let piece = try await download.next(), bytes.count <= Int(content.size) { bytes += piece }
    let read = bytes
    let found = await Reactor.offLoop { SHA256.hash(read).hexadecimal }
    guard found == content.hash else {
      throw Unsealable(description: "the object store does not have the content that was signed")
    }
    return bytes
  }

  /// `D:20261127180000Z` (ISO 32000-1, section 7.9.4).
  private static func date(_ time: Timestamp) -> String {
    "D:" + time.description.prefix(19).filter(\.isNumber) + "Z"
  }

  private func token(for value: [UInt8]) async throws(NoTime) -> [UInt8] {
    let request = TimestampRequest(for: value)
    do {
      let answer = try await http.send(
        HTTPRequest(
          .post, authority, headers: [("Content-Type", TimestampRequest.requestType)], body: request.der,
          timeout: .seconds(20)))
      // Without the address: it may have a password.
      guard answer.isSuccess else { throw NoTime(description: "signing.tsa-url answers \(answer.status)") }
      return try request.token(in: answer.body)
    } catch let error as NoTime { throw error } catch { throw NoTime(description: "signing.tsa-url: \(error)") }
  }
}
