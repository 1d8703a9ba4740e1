import Identifiers
import Domain
import Events
import Kafka
import Postgres
import Reactor
import Relay
import Support
import Synchronization
import Testing

@testable import Projections

/// A view that refuses some documents until it is told to take them.
private final class FussyView: ComparableView, Sendable {
  let inner: any ComparableView
  private let refused = Mutex<Set<String>>([])

  let form: Int

  init(_ inner: any ComparableView, form: Int = 1) { (self.inner, self.form) = (inner, form) }

  func refuse(_ ids: Set<String>) { refused.withLock { $0 = ids } }

  var name: String { inner.name }
  var categories: [String] { inner.categories }
  var store: any ViewStore { inner.store }
  func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    let ids = refused.withLock { $0 }
    var outcomes = try await inner.apply(changes.filter { !ids.contains($0.id) }, to: generation)[...]
    return changes.map { ids.contains($0.id) ? .refused(reason: "fussy") : outcomes.removeFirst() }
  }
  func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] { inner.entries(of: change) }
  func agrees(_ found: ViewRow?, with expected: ViewRow) -> Bool { inner.agrees(found, with: expected) }
  func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    try await inner.read(ids, of: generation)
  }
  func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    try await inner.list(cursor, of: generation)
  }
  func remove(_ ids: [String], of generation: Int) async throws { try await inner.remove(ids, of: generation) }
  func repair(_ changes: [ViewChange], of generation: Int) async throws {
    try await inner.repair(changes, of: generation)
  }
}

@Suite("Parked streams", .serialized, .workLimit(minutes: 5)) struct ParkedChangesTests {
  @Test("keep nobody else waiting, gather what comes, and are folded from the log when they are taken again")
  func refused() async throws {
    try await withViewStage { stage in
      let view = FussyView(ViewUnderTest.documentLists.make(stage.tools))
      let reactor = stage.database.reactor
      let parked = ParkedStreams(stage.database.pool)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it is live", on: reactor) { try await stage.live(view) != nil }
          let documents = try await stage.create(2)
          try await eventually("both are there", on: reactor) {
            let first = try await view.holds(try stage.change(documents[0]))
            let second = try await view.holds(try stage.change(documents[1]))
            return first && second
          }
          view.refuse([documents[0].id.description])
          _ = try await stage.rename(documents[0], "refused")
          let last = try await stage.rename(documents[0], "waits")
          let other = try await stage.rename(documents[1], "goes on")
          try await eventually("the other goes on", on: reactor) { try await view.holds(try stage.change(other)) }
          try await eventually("one waits", on: reactor) { try await parked.list().first?.newest == 3 }
          let entry = try #require(try await parked.list().first)
          #expect(entry.stream == "\(Document.stream(documents[0].id.description))")
          #expect(entry.reason == "fussy")

          // Refused again: it stays.
          #expect(try await parked.request(.retry, entry.id))
          try await eventually("it is tried", on: reactor) { try await parked.list().first?.request == "" }
          #expect(try await parked.list().count == 1)
          #expect(try await parked.show(entry.id)?.contains("refused again") == true)

          view.refuse([])
          #expect(try await parked.request(.retry, entry.id))
          try await eventually("nothing is parked", on: reactor) { try await parked.list().isEmpty }
          #expect(try await view.holds(try stage.change(last)))
          let next = try await stage.rename(last, "follows again")
          try await eventually("it is followed again", on: reactor) { try await view.holds(try stage.change(next)) }
          #expect(try await !parked.request(.drop, entry.id))
        }
      }
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }

  @Test(
    "belong to a generation: one that refuses a stream while it is built is whole for all others, and the live one goes on"
  )
  func whileBuilding() async throws {
    try await withViewStage { stage in
      let view = FussyView(ViewUnderTest.documentLists.make(stage.tools))
      let documents = try await stage.create(3)
      let rebuild = Rebuild(view, stage.world)
      #expect(try await rebuild.run(reason: "first") == 1)
      view.refuse([documents[1].id.description])
      #expect(try await rebuild.run(reason: "second") == 2)
      let parked = ParkedStreams(stage.database.pool)
      #expect(try await parked.list().map(\.stream) == ["\(Document.stream(documents[1].id.description))"])
      #expect(try await view.holds(try stage.change(documents[2]), in: 2))
      view.refuse([])
      // The generation before never refused it.
      #expect(try await rebuild.rollBack() == 1)
      #expect(try await view.holds(try stage.change(documents[1]), in: 1))
      #expect(try await rebuild.run(reason: "third") == 3)
      #expect(try await parked.list().isEmpty)
      for generation in 1...3 { try await view.store.drop(generation) }
    }
  }

  @Test("a program of an older form leaves the generation of a newer one alone; the newer one builds its own")
  func forms() async throws {
    try await withViewStage { stage in
      let inner = ViewUnderTest.documentLists.make(stage.tools)
      let (old, new) = (FussyView(inner), FussyView(inner, form: 2))
      let reactor = stage.database.reactor
      _ = try await stage.create(2)
      try await stage.whileProjecting(old) { older in
        try await eventually("form 1 is live", on: reactor) { try await stage.live(old)?.form == 1 }
        try await stage.whileProjecting(new) { _ in
          try await eventually("form 2 is live", on: reactor) { try await stage.live(new)?.form == 2 }
          try await eventually("the older one says why it waits", on: reactor) {
            older.problem?.contains("newer program") == true
          }
        }
        #expect(try await stage.live(new)?.number == 2)
        await #expect(throws: Never.self) { _ = try await stage.world.registry.generations(of: old.name) }
      }
      for generation in 1...2 { try await inner.store.drop(generation) }
    }
  }

  @Test("are also those of a message that cannot be read: the group goes on, and the retry folds the stream")
  func poison() async throws {
    try await withViewStage { stage in
      let view = ViewUnderTest.documentLists.make(stage.tools)
      let reactor = stage.database.reactor
      let parked = ParkedStreams(stage.database.pool)
      let documents = try await stage.create(1)
      try await whileRelaying(outboxOptions(stage.database, topic: stage.tools.name), on: reactor) { _ in
        try await stage.whileProjecting(view) { _ in
          try await eventually("it has the first", on: reactor) {
            guard try await stage.live(view) != nil else { return false }
            return try await view.holds(try stage.change(documents[0]))
          }
          let producer = try KafkaProducer(
            stage.world.source.kafka, on: reactor, logger: quietLogger(), onDelivery: { _ in })
          func produce(_ key: String, _ value: String) throws {
            try Array(key.utf8).withUnsafeBytes { key in
              try Array(value.utf8).withUnsafeBytes { value in
                try producer.send(topic: "\(stage.tools.name).documents", key: key, value: value, token: 1)
              }
            }
          }
          try produce(#"{"id":"\#(documents[0].id)"}"#, "no JSON")
          try produce("no key", "no JSON")
          try await eventually("both are parked", on: reactor) { try await parked.list().count == 2 }
          await producer.close()
          let after = try await stage.create(1)[0]
          try await eventually("the view goes on", on: reactor) { try await view.holds(try stage.change(after)) }
          for entry in try await parked.list() {
            #expect(entry.reason.contains("is not a change event"))
            let request: ParkedStreams.Request = entry.stream.contains("no key") ? .drop : .retry
            #expect(try await parked.request(request, entry.id))
          }
          try await eventually("nothing is parked", on: reactor) { try await parked.list().isEmpty }
          #expect(try await view.holds(try stage.change(documents[0])))
        }
      }
      for generation in 1...2 { try await view.store.drop(generation) }
    }
  }
}
