import Domain
import Events
import Identifiers
import Testing
import Time

private let id = UUID("01890a5d-ac96-774b-bcce-b302099a8057")!
private let other = UUID("01890a5d-ac96-874b-bcce-b302099a8057")!
private let documents = (0..<3).map { _ in UUID.version7() }
private let start = Timestamp("2026-11-27T00:00:00Z")!

private func begin(_ documents: [UUID] = documents, _ change: BatchChange = .edit(status: nil, add: ["a"], remove: []))
  -> BatchCommand
{
  .start(
    id: id, documents: documents, change: change, starter: StandingRights(forAll: true, names: [], groups: []),
    by: "alice", at: start)
}

private func result(_ document: UUID, _ version: StreamVersion? = 2, problem: String? = nil) -> BatchResult {
  BatchResult(document: document, version: version, status: .created, tags: [], problem: problem)
}

private func batch(_ commands: BatchCommand...) throws -> Batch {
  var state: Batch?
  for command in commands {
    state = Batch.newEvents(try Batch.decide(command, state), from: state, at: state?.version ?? .none).state
  }
  return try #require(state)
}

@Suite("A batch", .timeLimit(.minutes(1))) struct BatchTests {
  @Test("notes its documents in their order, once, and is finished with the last")
  func progress() throws {
    let running = try batch(begin(), .note([result(documents[0])], at: start))
    #expect(running.status == .running && running.left.elementsEqual(documents[1...]))
    for results in [[], [result(documents[0])], [result(documents[2])], documents.map { result($0) }] {
      #expect(throws: BatchRefusal.outOfOrder) { try Batch.decide(.note(results, at: start), running) }
    }
    let rest = [result(documents[1], nil, problem: "archived"), result(documents[2])]
    let finished = try batch(begin(), .note([result(documents[0])], at: start), .note(rest, at: start))
    #expect(finished.status == .finished && finished.failures.map(\.document) == [documents[1]])
    let row = String(decoding: finished.rowImage(failures: 10), as: UTF8.self)
    #expect(row.contains(#""documents":3,"done":3,"changed":2,"failed":1"#) && row.contains(#""problem":"archived""#))
    #expect(!String(decoding: finished.publishedRow ?? [], as: UTF8.self).contains("archived"))
  }

  @Test("is taken back once, and not before its end")
  func undo() throws {
    #expect(throws: BatchRefusal.isRunning) { try Batch.decide(.undo(by: other, at: start), batch(begin())) }
    let finished = try batch(begin(), .note(documents.map { result($0) }, at: start), .undo(by: other, at: start))
    #expect(finished.undoneBy == other)
    let idle = try batch(begin(), .note(documents.map { result($0, nil) }, at: start))
    #expect(throws: BatchRefusal.nothingToUndo) { try Batch.decide(.undo(by: other, at: start), idle) }
    #expect(throws: BatchRefusal.undoneAlready(other)) { try Batch.decide(.undo(by: id, at: start), finished) }
  }

  @Test("takes nothing back that was archived, and asks for the right again for each document")
  func takingBack() throws {
    var state: Document?
    for command in [
      DocumentCommand.create(id: id, title: "T", content: nil, by: "alice", at: start),
      .share(Share(with: Grantee("user:jane")!, [.view, .change], until: nil), at: start),
      .amend(title: nil, status: .pending, tags: ["a"], at: start),
    ] {
      state = Document.newEvents(try Document.decide(command, state), from: state, at: state?.version ?? .none).state
    }
    let document = try #require(state)
    #expect(try Document.decide(.takeBack(status: .created, tags: [], custom: nil, at: start), document).count == 2)
    #expect(try Document.decide(.takeBack(status: .pending, tags: ["a"], custom: nil, at: start), document) == [])
    let archived = Document.newEvents(
      try Document.decide(.amend(title: nil, status: .archived, at: start), document), from: document,
      at: document.version
    ).state
    #expect(throws: DocumentRefusal.noTransition(from: .archived, to: .pending)) {
      try Document.decide(.takeBack(status: .pending, tags: [], custom: nil, at: start), archived)
    }
    func may(_ name: String) -> Bool {
      StandingRights(forAll: false, names: [name], groups: []).mayChange(document, at: start)
    }
    #expect(may("alice") && may("jane") && !may("bob"))
  }

  @Test("names what is wrong with how it is begun")
  func beginning() {
    let many = (0..<10_001).map { _ in UUID.version7() }
    let refused: [(BatchCommand, BatchRefusal)] = [
      (begin([]), .noDocuments), (begin(many), .tooManyDocuments(limit: 10_000)),
      (begin([documents[0], documents[0]]), .namedTwice(documents[0])),
      (begin(documents, .edit(status: nil, add: [], remove: [])), .noChange),
      (begin(documents, .edit(status: nil, add: [" "], remove: [])), .tagsAreMalformed),
    ]
    for (command, refusal) in refused { #expect(throws: refusal) { try Batch.decide(command, nil) } }
  }

  @Test("events of every type and schema version have a fixture, and are read")
  func fixtures() throws { try EventFixture.check(Batch.self) }
}
