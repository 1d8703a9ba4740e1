import Domain
import Events
import Identifiers
import Testing
import Time

private let id = UUID("0691e6db-dd6b-7fdf-8000-d8a842f9543c")!
private let document = UUID("01890a5d-ac96-774b-bcce-b302099a8057")!
private let signature = UUID("01890a5d-ac96-874b-bcce-b302099a8057")!
private let start = Timestamp("2026-11-27T00:00:00Z")!
private func after(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: start.microseconds + seconds * 1_000_000) }

private let jane = Participant(email: "jane@example.com", name: "Jane", role: .signer)
private let john = Participant(email: "John@example.com", name: "John", role: .signer)
private let legal = Participant(email: "legal@example.com", name: "Legal", role: .approver)
private let guest = Participant(email: "guest@example.com", name: "Guest", role: .viewer)

private func open(
  _ participants: [Participant] = [jane, legal, john, guest], _ order: SigningSession.Order = .parallel,
  consent: String = "I agree.", expires: Timestamp? = nil, every: Duration? = nil
) -> SigningSessionCommand {
  .open(
    id: id, document: document, shown: SignedDocument(contentHash: "34ab", version: 3), order: order,
    participants: participants, consent: consent, consentHash: "56cd", expires: expires, reminderInterval: every,
    by: "alice", at: start)
}

/// A session after some commands.
private func session(_ commands: SigningSessionCommand...) throws -> SigningSession {
  var state: SigningSession?
  for command in commands {
    let events = try SigningSession.decide(command, state)
    state = SigningSession.newEvents(events, from: state, at: state?.version ?? .none).state
  }
  return try #require(state)
}

private func sign(_ email: String, at time: Timestamp = start) -> SigningSessionCommand {
  .sign(email: email, signature: signature, at: time)
}

@Suite("A signing session", .timeLimit(.minutes(1))) struct SigningSessionTests {
  @Test("is complete when all who sign or approve have done so, in any order")
  func parallel() throws {
    #expect(try session(open()).pending.map(\.email) == [jane, legal, john].map(\.email))
    let two = try session(open(), sign("john@EXAMPLE.com"), .approve(email: "legal@example.com", at: start))
    #expect(two.pending == [jane] && two.status == .open)
    let done = try session(
      open(), sign("john@example.com"), .approve(email: "legal@example.com", at: start), sign("jane@example.com"))
    #expect(done.status == .completed && done.pending.isEmpty && done.endedAt == start && done.version == 5)
    #expect(throws: SigningSessionRefusal.isOver(.completed)) {
      try SigningSession.decide(sign("jane@example.com"), done)
    }
  }

  @Test("asks one after the other where an order is wanted")
  func sequence() throws {
    let first = try session(open([jane, legal, john], .sequence))
    #expect(first.pending == [jane])
    #expect(throws: SigningSessionRefusal.notYet(before: "jane@example.com")) {
      try SigningSession.decide(.approve(email: "legal@example.com", at: start), first)
    }
    let second = try session(open([jane, legal, john], .sequence), sign("jane@example.com"))
    #expect(second.pending == [legal])
    #expect(throws: SigningSessionRefusal.notYet(before: "legal@example.com")) {
      try SigningSession.decide(sign("john@example.com"), second)
    }
  }

  @Test("takes from each what he is asked for, once")
  func roles() throws {
    let state = try session(open(), sign("jane@example.com"))
    let refused: [(SigningSessionCommand, SigningSessionRefusal)] = [
      (sign("jane@example.com"), .doneAlready), (sign("legal@example.com"), .notAskedForThat(.approver)),
      (.approve(email: "john@example.com", at: start), .notAskedForThat(.signer)),
      (sign("guest@example.com"), .notAskedForThat(.viewer)), (sign("other@example.com"), .notParticipant),
      (.decline(email: "guest@example.com", reason: "no", at: start), .notAskedForThat(.viewer)),
      (.decline(email: "jane@example.com", reason: "no", at: start), .doneAlready),
      (.decline(email: "john@example.com", reason: " ", at: start), .textIsMalformed("reason", limit: 4_000)),
    ]
    for (command, refusal) in refused {
      #expect(throws: refusal) { try SigningSession.decide(command, state) }
    }
    let declined = try session(open(), .decline(email: "john@example.com", reason: "too dear", at: start))
    #expect(declined.status == .declined && declined.reason == "too dear" && declined.declinedBy == "John@example.com")
    // U+212A is no K, and an address is compared as rights are.
    let kim = Participant(email: "kim@example.com", name: "Kim", role: .signer)
    #expect(throws: SigningSessionRefusal.notParticipant) {
      try SigningSession.decide(sign("\u{212A}im@example.com"), session(open([kim])))
    }
    let hidden = String(decoding: declined.withoutNames.rowImage, as: UTF8.self)
    for secret in ["example.com", "Jane", "too dear", "alice"] { #expect(!hidden.contains(secret)) }
    #expect(try session(open(), .cancel(reason: nil, at: start)).status == .cancelled)
  }

  @Test("ends and reminds when it is due, and not before")
  func due() throws {
    let opened = open(expires: after(1_000), every: .seconds(400))
    #expect(try session(opened).due == after(400))
    #expect(try SigningSession.decide(.look(at: after(399)), session(opened)) == [])
    let reminded = try session(opened, sign("jane@example.com"), .look(at: after(450)))
    #expect(reminded.remindedAt == after(450) && reminded.due == after(850))
    #expect(
      try SigningSession.decide(.look(at: after(850)), reminded)
        == [.reminded(["legal@example.com", "John@example.com"], at: after(850))])
    // Before anybody has looked it is over all the same.
    #expect(throws: SigningSessionRefusal.isExpired(after(1_000))) {
      try SigningSession.decide(sign("john@example.com", at: after(1_000)), reminded)
    }
    // They do not go on for ever.
    var state = try session(open(every: .seconds(60)))
    for number in 1...200 {
      let events = try SigningSession.decide(.look(at: after(Int64(number) * 60)), state)
      state = SigningSession.newEvents(events, from: state, at: state.version).state ?? state
    }
    #expect(state.reminders == 100 && state.due == nil && state.status == .open)
    let expired = try session(opened, .look(at: after(1_000)))
    #expect(expired.status == .expired && expired.due == nil)
    #expect(try SigningSession.decide(.look(at: after(2_000)), expired) == [])
  }

  @Test("names what is wrong with how it is opened")
  func opening() {
    let many = (0..<51).map { Participant(email: "p\($0)@example.com", name: "P", role: .signer) }
    let refused: [(SigningSessionCommand, SigningSessionRefusal, String?)] = [
      (open([]), .noSigner, "/participants"), (open([legal]), .noSigner, "/participants"),
      (open(many), .tooManyParticipants(limit: 50), "/participants"),
      (
        open([jane, Participant(email: "JANE@example.com", name: "J", role: .viewer)]), .namedTwice("JANE@example.com"),
        "/participants"
      ),
      (
        open([jane, Participant(email: "x", name: "J", role: .viewer)]),
        .participantIsMalformed(1, "an e-mail address looks like name@example.com"), "/participants/1"
      ),
      (
        open([
          jane,
          Participant(
            email: "a@" + String(repeating: "b", count: 60) + "." + String(repeating: "c", count: 60) + "."
              + String(repeating: "d", count: 60) + ".example.company.org", name: "J", role: .viewer),
        ]),
        .participantIsMalformed(1, "an address has at most 200 bytes here"), "/participants/1"
      ),
      (open(expires: start), .expiresInThePast, "/expires_at"),
      (
        open(every: .seconds(59)), .reminderIsMalformed(least: .seconds(60), most: .seconds(366 * 86_400)),
        "/remind_every_seconds"
      ),
      (open(consent: "  "), .textIsMalformed("consent", limit: 4_000), "/consent"),
    ]
    for (command, refusal, field) in refused {
      #expect(throws: refusal) { try SigningSession.decide(command, nil) }
      #expect(refusal.field == field)
    }
  }

  @Test("keeps the document's content as it is, shares the document for as long as it is open, and lets go at its end")
  func documents() throws {
    func fold(_ commands: DocumentCommand...) throws -> Document {
      var state: Document?
      for command in commands {
        state = Document.newEvents(try Document.decide(command, state), from: state, at: state?.version ?? .none).state
      }
      return try #require(state)
    }
    let content = DocumentContent(type: "text/plain", size: 1, key: "k", hash: "34ab")
    let other = DocumentContent(type: "text/plain", size: 2, key: "l", hash: "99")
    let created = DocumentCommand.create(id: document, title: "T", content: content, by: "john@example.com", at: start)
    let opening = DocumentCommand.openSigning(
      session: id, shares: [jane, john, guest].map { $0.share(until: after(60)) }, at: start)
    let open = try fold(created, opening)
    #expect(open.openSession == id && open.status == .created)
    func rights(_ document: Document, _ name: String, at time: Timestamp = start) -> Permissions {
      document.permissions(names: [ExactName(name)], groups: [], at: time)
    }
    // John is the owner.
    #expect(rights(open, "john@example.com") == .owner && rights(open, "jane@example.com") == [.view, .sign])
    #expect(rights(open, "guest@example.com") == .view && rights(open, "other@example.com") == [])
    #expect(rights(open, "jane@example.com", at: after(60)) == [])
    // What is shared beside it stays as it is, and is all that is left.
    let share = DocumentCommand.share(
      Share(with: Grantee("user:jane@example.com")!, [.view, .change], until: nil), at: start)
    let shared = try fold(created, share, opening)
    #expect(rights(shared, "jane@example.com") == [.view, .change, .sign])
    let over = try fold(created, share, opening, .closeSigning(session: id, at: start))
    #expect(rights(over, "jane@example.com") == [.view, .change] && rights(over, "guest@example.com") == [])
    #expect(over.shares.count == 1 && String(decoding: over.rowImage, as: UTF8.self).contains("guest") == false)
    let retyped = DocumentContent(type: "text/html", size: 1, key: "m", hash: "34ab")
    #expect(throws: DocumentRefusal.isBeingSigned) { try Document.decide(.replaceContent(retyped, at: start), open) }
    #expect(try Document.decide(.replaceContent(content, evenIfSame: true, at: start), open).count == 1)
    for command in [DocumentCommand.replaceContent(other, at: start), .delete(at: start)] {
      #expect(throws: DocumentRefusal.isBeingSigned) { try Document.decide(command, open) }
    }
    #expect(throws: DocumentRefusal.signingIsOpen) { try Document.decide(opening, open) }
    // Neither looking at it nor an archive opens the content.
    let archived = try fold(created, opening, .amend(title: nil, status: .archived, at: start))
    #expect(throws: DocumentRefusal.isBeingSigned) { try Document.decide(.replaceContent(other, at: start), archived) }
    #expect(try Document.decide(.sign(signature: signature, closes: id, at: start), open).count == 2)
    let closed = try fold(created, opening, .closeSigning(session: id, at: start), .replaceContent(other, at: start))
    #expect(closed.openSession == nil && closed.sessions == [id] && closed.content == other)
    #expect(try Document.decide(.closeSigning(session: id, at: start), closed) == [])
  }

  @Test("events of every type and schema version have a fixture, and are read")
  func fixtures() throws { try EventFixture.check(SigningSession.self) }
}
