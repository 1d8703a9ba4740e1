import Domain
import Events
import Identifiers
import Testing
import Time

private let id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")!
private let document = UUID("0691e6db-dd6b-7fdf-8000-d8a842f9543c")!
private let at = Timestamp("2026-11-22T00:00:00Z")!
private let image = SignatureImage(key: "signatures/ab", type: "image/png", size: 5, hash: "12ef")

private func give(_ email: String = "client@company.com", _ name: String = "Jane Smith") -> SignatureCommand {
  .give(
    id: id, document: document, email: email, name: name, image: image,
    signed: SignedDocument(contentHash: "34ab", version: 3), at: at)
}

@Suite("A signature", .timeLimit(.minutes(1))) struct SignatureTests {
  @Test("is given once")
  func once() throws {
    let events = try Signature.decide(give(), nil)
    let state = Signature.newEvents(events, from: nil, at: .none).state
    #expect(state?.signerEmail == "client@company.com" && state?.version == 1)
    #expect(throws: SignatureRefusal.signedAlready) { try Signature.decide(give(), state) }
    #expect(
      state.map { String(decoding: $0.rowImage, as: UTF8.self) }
        == #"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","document_id":"0691e6db-dd6b-7fdf-8000-d8a842f9543c","#
        + #""signer_email":"client@company.com","signer_name":"Jane Smith","s3_key":"signatures/ab","image":true,"#
        + #""content_type":"image/png","content_size":5,"signature_sha256":"12ef","status":"signed","document_version":3,"#
        + #""document_sha256":"34ab","created_at":"2026-11-22T00:00:00.000000Z","version":1}"#)
  }

  @Test(
    "takes addresses of the usual form only",
    arguments: [
      ("a@b.co", true), ("jane.smith+x@sub.company.com", true), ("jürgen@müller.de", true), ("", false), ("a", false),
      ("a@b", false), ("@b.co", false), ("a@", false), ("a b@c.de", false), ("a@b@c.de", false), ("a@b..de", false),
      (".a@b.de", false), ("a..b@c.de", false), ("a@-b.de", false), ("a@b.de\n", false), ("<a@b.de>", false),
    ])
  func addresses(_ address: String, _ isFine: Bool) {
    if isFine {
      #expect(throws: Never.self) { try Signature.decide(give(address), nil) }
    } else {
      #expect(throws: SignatureRefusal.emailIsMalformed) { try Signature.decide(give(address), nil) }
    }
  }

  @Test("wants a name")
  func names() {
    #expect(throws: SignatureRefusal.nameIsEmpty) { try Signature.decide(give("a@b.de", " "), nil) }
    #expect(throws: SignatureRefusal.nameIsTooLong(count: 201, limit: 200)) {
      try Signature.decide(give("a@b.de", String(repeating: "x", count: 201)), nil)
    }
  }

  @Test("events of every type and schema version have a fixture, and are read")
  func fixtures() throws { try EventFixture.check(Signature.self) }
}
