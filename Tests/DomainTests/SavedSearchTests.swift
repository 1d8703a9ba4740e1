import Domain
import Events
import Identifiers
import JSON
import Testing
import Time

private let start = Timestamp("2026-11-27T00:00:00Z")!
private let reader = StandingRights(forAll: false, names: ["alice"], groups: [])

private func save(_ name: String = "N", _ id: UUID = .version7(), query: String = "x") -> SearchListCommand {
  .save(
    id: id, name: name, query: JSONObject([.init(name: "q", value: .string(query))]), owner: "alice", reader: reader,
    at: start)
}

@Suite("A saved search", .timeLimit(.minutes(1))) struct SavedSearchTests {
  @Test("belongs to a list of limited length, and is noted once for each document")
  func lists() throws {
    var list: SearchList?
    func execute(_ command: SearchListCommand) throws {
      list =
        SearchList.newEvents(try SearchList.decide(command, list), from: list, at: list?.version ?? .none).state
    }
    let id = UUID.version7()
    try execute(save("First", id))
    for _ in 1..<SearchList.maximum { try execute(save()) }
    #expect(throws: SearchListRefusal.tooMany(limit: 100)) { try execute(save()) }
    try execute(.remove(id: id, at: start))
    #expect(list?.search(id) == nil && list?.searches.count == 99)
    #expect(throws: SearchListRefusal.notFound) { try execute(.remove(id: id, at: start)) }
    #expect(throws: SearchListRefusal.nameIsMalformed) { try execute(save(" ")) }
    #expect(throws: SearchListRefusal.queryIsTooLong) {
      try execute(save(query: String(repeating: "x", count: 5_000)))
    }
    let note = SearchHitCommand(
      search: id, name: "N", owner: "alice", document: .version7(), documentVersion: 3, at: start)
    let hit = SearchHit.newEvents(try SearchHit.decide(note, nil), from: nil, at: .none).state
    #expect(hit?.documentVersion == 3)
    #expect(throws: SearchHitRefusal.foundBefore) { try SearchHit.decide(note, hit) }
  }

  @Test("its events are read as they were written")
  func fixtures() throws {
    try EventFixture.check(SearchList.self)
    try EventFixture.check(SearchHit.self)
  }
}
