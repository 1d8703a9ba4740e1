import Domain
import Events
import Identifiers
import JSON
import Testing
import Time

private let id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")!
private let document = UUID("0691e6db-dd6b-7fdf-8000-d8a842f9543c")!
private let start = Timestamp("2026-11-27T00:00:00Z")!
private let later = Timestamp("2026-11-27T01:00:00Z")!

private func create(uses: Int64 = 2, expires: Timestamp? = nil) -> ShareLinkCommand {
  .create(
    id: id, document: document, shown: 2, secretHash: "12ab", password: LinkPassword(salt: "00", hash: "34"),
    expires: expires, maximumUses: uses, by: "alice", at: start)
}

private func link(_ commands: ShareLinkCommand...) throws -> ShareLink {
  var state: ShareLink?
  for command in commands {
    state = ShareLink.newEvents(try ShareLink.decide(command, state), from: state, at: state?.version ?? .none).state
  }
  return try #require(state)
}

private let use = ShareLinkCommand.use(what: "document", address: "192.0.2.7", at: start)

@Suite("A link", .timeLimit(.minutes(1))) struct ShareLinkTests {
  @Test("may be used until it is used up, over or revoked")
  func uses() throws {
    let used = try link(create(), use, use)
    #expect(used.uses == 2 && used.lastUsedAt == start)
    #expect(throws: ShareLinkRefusal.isUsedUp) { try ShareLink.decide(use, used) }
    let ending = try link(create(expires: later))
    #expect(throws: ShareLinkRefusal.isExpired(later)) {
      try ShareLink.decide(.use(what: "content", address: "", at: later), ending)
    }
    let revoked = try link(create(), .revoke(at: start))
    #expect(throws: ShareLinkRefusal.isRevoked) { try ShareLink.decide(use, revoked) }
    #expect(try ShareLink.decide(.revoke(at: later), revoked) == [])
    #expect(throws: ShareLinkRefusal.notFound) { try ShareLink.decide(use, nil) }
  }

  @Test("is made within limits, and its row tells nothing that would open it")
  func creation() throws {
    for uses in [0, 10_001] as [Int64] {
      #expect(throws: ShareLinkRefusal.usesAreOutOfRange(most: 10_000)) {
        try ShareLink.decide(create(uses: uses), nil)
      }
    }
    #expect(throws: ShareLinkRefusal.expiresInThePast) { try ShareLink.decide(create(expires: start), nil) }
    let row = String(decoding: try link(create()).rowImage, as: UTF8.self)
    #expect(row.contains(#""has_password":true"#) && !row.contains("12ab") && !row.contains("34"))
  }

  @Test("is the same from a state that was kept")
  func keptState() throws {
    for link in [try link(create(expires: later), use), try link(create(), .revoke(at: later))] {
      #expect(try ShareLink(json: JSONValue(parsing: link.kept)) == link)
    }
  }

  @Test("events of every type and schema version have a fixture, and are read")
  func fixtures() throws { try EventFixture.check(ShareLink.self) }
}
