@testable import Domain
import Events
import Identifiers
import JSON
import Testing
import Time

private let id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")!
private let at = Timestamp("2026-11-21T13:20:38.123456Z")!
private let later = Timestamp("2026-11-22T00:00:00Z")!
private let content = DocumentContent(type: "text/plain", size: 5, key: "documents/ab", hash: "12ef")

private func document(_ events: DocumentEvent...) -> Document? {
  Document.newEvents(
    [.created(id: id, title: "Lease", content: content, by: "alice", at: at)] + events, from: nil, at: .none
  ).state
}

@Suite("The decisions of a document", .timeLimit(.minutes(5))) struct DocumentDecisionTests {
  @Test("creates once")
  func create() throws {
    let command = DocumentCommand.create(id: id, title: "Lease", content: content, by: "alice", at: at)
    #expect(
      try Document.decide(command, nil)
        == [.created(id: id, title: "Lease", content: content, by: "alice", at: at)])
    #expect(throws: DocumentRefusal.exists) { try Document.decide(command, document()) }
  }

  @Test("wants a title")
  func titles() {
    for (title, refusal) in [
      ("", DocumentRefusal.titleIsEmpty), (" \n", .titleIsEmpty),
      (String(repeating: "x", count: 2_001), .titleIsTooLong(count: 2_001, limit: 2_000)),
      // One character.
      ("a" + String(repeating: "\u{301}", count: 1_000), .titleIsTooLong(count: 2_001, limit: 2_000)),
      ("a\u{0}b", .titleHasNUL),
    ] {
      #expect(throws: refusal) {
        try Document.decide(.create(id: id, title: title, content: nil, by: "a", at: at), nil)
      }
      #expect(throws: refusal) {
        try Document.decide(.amend(title: title, status: nil, at: later), document())
      }
    }
  }

  /// Every cell: the columns are the statuses in the order created, viewed, pending, signed, rejected, archived; `+` is a
  /// change, `=` changes nothing, `-` is refused.
  static let transitions: [(from: DocumentStatus, cells: String)] = [
    (.created, "=+++-+"),
    (.viewed, "-=++-+"),
    (.pending, "-+=+++"),
    (.signed, "-+-=-+"),
    (.rejected, "--+-=+"),
    (.archived, "-----="),
  ]

  @Test("changes the status as the table of transitions says", arguments: transitions.indices)
  func status(_ row: Int) throws {
    let (from, cells) = Self.transitions[row]
    let columns: [DocumentStatus] = [.created, .viewed, .pending, .signed, .rejected, .archived]
    #expect(Set(columns) == Set(DocumentStatus.allCases))
    let state = document(.statusChanged(from: .created, to: from, at: at))
    for (to, cell) in zip(columns, cells) {
      let command = DocumentCommand.amend(title: nil, status: to, at: later)
      switch cell {
      case "=": #expect(try Document.decide(command, state) == [], "\(from) to \(to)")
      case "+":
        #expect(
          try Document.decide(command, state) == [.statusChanged(from: from, to: to, at: later)], "\(from) to \(to)")
      default:
        #expect(throws: DocumentRefusal.noTransition(from: from, to: to), "\(from) to \(to)") {
          try Document.decide(command, state)
        }
      }
    }
  }

  @Test("does title and status together or not at all")
  func both() {
    #expect(throws: DocumentRefusal.noTransition(from: .created, to: .rejected)) {
      try Document.decide(.amend(title: "New", status: .rejected, at: later), document())
    }
  }

  @Test("tells titles apart by their bytes")
  func bytes() throws {
    let composed = document(.retitled(title: "Caf\u{E9}", at: at))
    #expect(
      try Document.decide(.amend(title: "Cafe\u{301}", status: nil, at: later), composed)
        == [.retitled(title: "Cafe\u{301}", at: later)])
  }

  @Test("says nothing where nothing changes")
  func unchanged() throws {
    #expect(try Document.decide(.amend(title: "Lease", status: .created, at: later), document()).isEmpty)
    #expect(try Document.decide(.replaceContent(content, at: later), document()).isEmpty)
  }

  @Test("does nothing with what is deleted or was never there")
  func gone() {
    for command in [
      DocumentCommand.amend(title: "x", status: nil, at: later), .delete(at: later),
      .replaceContent(content, at: later),
    ] {
      #expect(throws: DocumentRefusal.deleted) { try Document.decide(command, document(.deleted(at: at))) }
      #expect(throws: DocumentRefusal.notFound) { try Document.decide(command, nil) }
    }
  }

  @Test("is signed from created, viewed, pending and signed alike, and each time its version is one higher")
  func sign() throws {
    var state = document()
    for (number, status) in [DocumentStatus.created, .viewed, .pending, .signed].enumerated() {
      let before = number == 0 ? [] : [DocumentEvent.statusChanged(from: .created, to: status, at: at)]
      state = document(before.first ?? .retitled(title: "x", at: at))
      let events = try Document.decide(.sign(signature: id, at: later), state)
      let after = Document.newEvents(events, from: state, at: 2).state
      #expect(after?.status == .signed && after?.version == 3 && after?.signatures == [id])
    }
    for status in [DocumentStatus.archived, .rejected] {
      #expect(throws: DocumentRefusal.noTransition(from: status, to: .signed)) {
        try Document.decide(
          .sign(signature: id, at: later), document(.statusChanged(from: .created, to: status, at: at)))
      }
    }
  }

  @Test("has a limit of signatures, so that a list of them stays small")
  func signatures() throws {
    let events = (0..<Document.maximumSignatures).map { _ in
      DocumentEvent.signed(signature: UUID.version7(), from: .signed, at: at)
    }
    var state = try #require(document())
    for event in events { state = try #require(Document.evolve(state, event, at: state.version.next)) }
    #expect(throws: DocumentRefusal.tooManySignatures(limit: 1_000)) {
      try Document.decide(.sign(signature: UUID.version7(), at: later), state)
    }
  }

  @Test("gives each new event the row before and after it")
  func images() throws {
    let events = Document.newEvents(
      [
        .retitled(title: "New", at: later), .statusChanged(from: .created, to: .pending, at: later),
        .deleted(at: later),
      ],
      from: document(), at: 1
    ).events
    #expect(events.map(\.change?.operation) == [.update, .update, .delete])
    #expect(events[0].change?.before == document()?.rowImage)
    #expect(events[0].change?.after == events[1].change?.before)
    #expect(events[2].change?.after == nil)
  }
}

@Suite("A document's row image", .timeLimit(.minutes(5))) struct RowImageTests {
  @Test("has its fields in their order")
  func order() {
    #expect(
      String(decoding: document()!.rowImage, as: UTF8.self)
        == #"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"Lease","content_type":"text/plain","content_size":5,"#
        + #""s3_key":"documents/ab","content_sha256":"12ef","status":"created","created_by":"alice","created_at":"2026-11-21T13:20:38.123456Z","#
        + #""updated_at":"2026-11-21T13:20:38.123456Z","version":1}"#)
  }

  @Test("reads back the same")
  func roundTrip() throws {
    let document = document(.retitled(title: "é\"\n", at: later))!
    #expect(try Document(rowImage: JSONValue(parsing: document.rowImage)) == document)
  }
}

@Suite("Stored events of a document", .timeLimit(.minutes(5))) struct EventFormTests {
  static let events: [(fixture: String, event: DocumentEvent)] = [
    ("DocumentCreated.1", .created(id: id, title: "Lease", content: content, by: "alice", at: at)),
    ("DocumentCreated.1.plain", .created(id: id, title: "Lease", content: nil, by: "alice", at: at)),
    ("DocumentRetitled.1", .retitled(title: "New", at: later)),
    ("DocumentContentReplaced.1", .contentReplaced(content, at: later)),
    ("DocumentStatusChanged.1", .statusChanged(from: .created, to: .pending, at: later)),
    ("DocumentSigned.1", .signed(signature: id, from: .created, at: later)),
    ("DocumentDeleted.1", .deleted(at: later)),
  ]

  @Test("are read and written as they were", arguments: events.indices)
  func form(_ index: Int) throws {
    let (name, event) = Self.events[index]
    let fixture = try #require(try EventFixture.all("document").first { $0.name == name })
    #expect(try Document.event(fixture.body, of: Document.stream("x")) == event)
    #expect(event.type == fixture.type)
    #expect(String(decoding: event.data, as: UTF8.self) == String(decoding: fixture.data, as: UTF8.self))
  }

  @Test("of every type and every schema version have a fixture, and are read")
  func fixtures() throws { try EventFixture.check(Document.self) }

  @Test("of unknown types or versions are refused; unknown fields are ignored")
  func unknown() throws {
    func body(_ type: String, _ version: Int32, _ data: String) -> EventBody {
      EventBody(version: 1, id: id, type: type, schemaVersion: version, data: Array(data.utf8), recordedAt: at)
    }
    for (type, version, data) in [
      ("DocumentEaten", Int32(1), #"{"at":"2026-11-22T00:00:00Z"}"#),
      ("DocumentDeleted", 2, #"{"at":"2026-11-22T00:00:00Z"}"#),
      ("DocumentDeleted", 0, #"{"at":"2026-11-22T00:00:00Z"}"#),
      ("DocumentDeleted", 1, "{}"),
    ] {
      #expect(throws: EventReadError.self) { try Document.event(body(type, version, data), of: Document.stream("x")) }
    }
    let newer = try Document.event(
      body("DocumentDeleted", 1, #"{"at":"2026-11-22T00:00:00Z","reason":"x"}"#), of: Document.stream("x"))
    #expect(newer == .deleted(at: later))
  }
}
