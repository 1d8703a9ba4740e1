import EventStore
import Events
import Identifiers
import Postgres
import Reactor
import Support
import Testing

func event(_ type: String = "Happened", image: String = #"{"n":1}"#) -> NewEvent {
  NewEvent(type: type, data: Array(#"{"amount":0.10}"#.utf8), change: RowChange(before: nil, after: Array(image.utf8)))
}

let metadata = EventMetadata(actor: "alice", correlationID: "c-1")

func stream() -> StreamID { StreamID(category: "thing", id: UUID.version7().description) }

@Suite("Appending to a stream", .timeLimit(.minutes(5))) struct AppendTests {
  @Test("numbers events without gaps and writes their outbox rows in the same transaction (G1)")
  func append() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let first = try await store.append([event(), event()], to: stream, expecting: .noStream, metadata: metadata)
      let second = try await store.append([event()], to: stream, expecting: .exact(2), metadata: metadata)
      #expect(first.version == 2)
      #expect(second.version == 3)
      let events = try await store.read(stream).events
      #expect(events.map(\.version) == [1, 2, 3])
      #expect(events.map(\.data) == Array(repeating: Array(#"{"amount": 0.10}"#.utf8), count: 3))
      #expect(events[0].metadata == metadata)
      let rows = try await database.pool.query(
        Query(
          "",
          "select count(*), count(distinct o.xid) from annals.outbox o join annals.events e using (xid, position, event_id)"
        ))
      #expect(try rows[0].get(0, as: Int.self) == 3)
      #expect(try rows[0].get(1, as: Int.self) == 2)
    }
  }

  @Test("refuses a version that is not the stream's, tells the actual one and writes nothing")
  func conflict() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      _ = try await store.append([event(), event()], to: stream, expecting: .any, metadata: metadata)
      for expected in [ExpectedVersion.noStream, .exact(1), .exact(3)] {
        await #expect(throws: AppendError.versionConflict(stream: stream, expected: expected, actual: 2)) {
          try await store.append([event()], to: stream, expecting: expected, metadata: metadata)
        }
      }
      #expect(try await store.read(stream).events.count == 2)
    }
  }

  @Test("lets one of many writers win each version")
  func race() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      let wins = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<20 {
          group.addTask {
            do throws(AppendError) {
              _ = try await store.append([event()], to: stream, expecting: .noStream, metadata: metadata)
              return true
            } catch {
              if case .versionConflict(_, _, let actual) = error { return actual == 1 ? false : true }
              return true
            }
          }
        }
        return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
      }
      #expect(wins == 1)
      let count = try await store.read(stream).events.count
      #expect(count == 1)
    }
  }

  @Test("takes one event id only once")
  func identity() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let event = event()
      _ = try await store.append([event], to: stream(), expecting: .any, metadata: metadata)
      await #expect(throws: AppendError.self) {
        try await store.append([event], to: stream(), expecting: .any, metadata: metadata)
      }
    }
  }

  @Test("cannot be undone: the log refuses update, delete and truncate")
  func appendOnly() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      _ = try await store.append([event()], to: stream(), expecting: .any, metadata: metadata)
      for statement in ["update annals.events set type = 'x'", "delete from annals.events", "truncate annals.events"] {
        do {
          try await database.pool.query(Query("", statement))
          Issue.record("\(statement) was allowed")
        } catch let PostgresError.server(error) { #expect(error.sqlState == "AN001") }
      }
    }
  }

  @Test("links each event to the one before it by a hash that can be made again")
  func chain() async throws {
    try await withDatabase { database in
      let store = EventStore(database.pool)
      let stream = stream()
      _ = try await store.append([event(), event()], to: stream, expecting: .any, metadata: metadata)
      _ = try await store.append([event()], to: stream, expecting: .any, metadata: metadata)
      let rows = try await database.pool.query(
        Query(
          "",
          """
          select count(*) filter (where hash = annals.event_hash(previous, stream_id, version, event_id, type,
                                                                 schema_version, data, metadata, recorded_at)),
                 count(distinct hash)
          from (select *, lag(hash) over (partition by stream_id order by version) as previous from annals.events) e
          """))
      #expect(try rows[0].get(0, as: Int.self) == 3)
      #expect(try rows[0].get(1, as: Int.self) == 3)
    }
  }
}
