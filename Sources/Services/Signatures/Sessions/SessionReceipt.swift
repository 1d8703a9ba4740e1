import Domain
import HTTPServer
import JSON

/// What a session has come to: who has signed what, when and under which consent. It is made of the events alone.
struct SessionReceipt {
  private let session: SigningSession
  private let document: Document
  /// Those of the session, by the participant's place.
  private let signatures: [Signature?]

  /// - Parameter signatures: All of the document.
  init(_ session: SigningSession, _ document: Document, _ signatures: [Signature]) {
    (self.session, self.document) = (session, document)
    self.signatures = session.participants.map { participant in
      signatures.first { $0.id == participant.done?.signature }
    }
  }

  /// The content is what was signed.
  private var holds: Bool { document.content?.hash == session.shown.contentHash }

  static let schema = JSONSchema.object([
    .init("session", SigningSession.schema), .init("document_title", .string()),
    .init("holds", .boolean, "Whether the content is still the one that was signed."),
    .init("signatures", .array(Signature.schema), "In the order of the participants."),
  ])

  var json: [UInt8] {
    var writer = JSONWriter(reserving: 2_048)
    writer.object { writer in
      writer.name("session")
      writer.splice(session.rowImage)
      writer.member("document_title", document.title)
      writer.member("holds", holds)
      writer.array("signatures", of: signatures.compactMap(\.self)) { $0.splice($1.rowImage) }
    }
    return writer.bytes
  }

  /// A page that needs nothing from elsewhere, and prints well.
  var page: Response {
    var rows = ""
    for (participant, signature) in zip(session.participants, signatures) {
      let done = participant.done.map { "\($0.signature == nil ? "approved" : "signed") \($0.at)" } ?? "—"
      rows += "<tr><td>\(Self.escaped(participant.name))<br><small>\(Self.escaped(participant.email))</small></td>"
      rows += "<td>\(participant.role.rawValue)</td><td>\(done)</td>"
      rows += "<td><code>\(signature?.image.hash ?? "")</code></td></tr>\n"
    }
    let facts: [(String, String)] = [
      ("Document", "\(document.title) (\(document.id))"), ("Session", "\(session.id)"),
      ("Status", session.status.rawValue + (session.reason.map { ": \($0)" } ?? "")),
      ("Version that is signed", "\(session.shown.version)"),
      ("SHA-256 of the content", session.shown.contentHash ?? "no content"),
      ("The content now", holds ? "is the one that was signed" : "is another one: the signatures do not hold for it"),
      ("Consent", session.consent), ("SHA-256 of the consent", session.consentHash),
      ("Opened", "\(session.createdAt) by \(session.createdBy)"), ("Ended", session.endedAt.map { "\($0)" } ?? "open"),
    ]
    let list = facts.map { "<dt>\($0.0)</dt><dd>\(Self.escaped($0.1))</dd>" }.joined(separator: "\n")
    let text = """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><title>Receipt: \(Self.escaped(document.title))</title>
      <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
      dt{font-weight:600}dd{margin:0 0 .5em;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}
      th,td{border:1px solid #bbb;padding:.4em .6em;text-align:left;vertical-align:top;overflow-wrap:anywhere}</style></head>
      <body><h1>Receipt</h1>
      <dl>
      \(list)
      </dl>
      <table><thead><tr><th>Participant</th><th>Role</th><th>Done</th><th>SHA-256 of the drawn signature</th></tr></thead>
      <tbody>
      \(rows)</tbody></table></body></html>

      """
    return Response(
      200,
      headers: [
        ("Content-Type", "text/html; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
      ], body: .bytes(Array(text.utf8)))
  }

  private static func escaped(_ text: String) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&#39;"
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }
}
