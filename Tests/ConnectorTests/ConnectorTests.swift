@testable import Connector
import EventStore
import Identifiers
import Kafka
import Logging
import Metrics
import Postgres
import Reactor
@testable import Relay
import Support
import Testing

@Suite("A connector's options", .workLimit(minutes: 5)) struct ConnectorOptionsTests {
  @Test("are read as Java reads its properties")
  func properties() {
    let text = "# comment\n a = 1\\\n   2\nb:x\\=y\n\nc\\ d e\\u00e9\\\\\n"
    #expect(
      Properties(parsing: text).entries.map { [$0.name, $0.value] } == [
        ["a", "12"], ["b", "x=y"], ["c d", "eé\\"],
      ])
  }

  @Test(
    "that cannot be followed are refused by name, line and remedy",
    arguments: [
      (
        "decimal.handling.mode=exact",
        "decimal.handling.mode (line 2): “exact” is not supported; use one of precise, double, string"
      ),
      (
        "snapshot.mod=initial",
        "snapshot.mod (line 2): this option is not known or not supported; did you mean snapshot.mode?"
      ),
      (
        "topic.creation.groups=compacted",
        "topic.creation.groups (line 2): “compacted” is not supported; use default"
      ),
      (
        "topic.creation.default.partitions=0",
        "topic.creation.default.partitions: “0” is not a number from 1, or -1 for the default"
      ),
      (
        "topic.creation.compacted.cleanup.policy=compact",
        "topic.creation.compacted.cleanup.policy (line 2): this option is not known or not supported"
      ),
      ("snapshot.max.threads=4", "snapshot.max.threads (line 2): “4” is not supported; use 1"),
      ("plugin.name=decoderbufs", "plugin.name (line 2): “decoderbufs” is not supported; use pgoutput"),
      ("table.include.list=public.(", "table.include.list (line 2): “public.(” is not a valid regular expression"),
      ("tombstones.on.delete=yes", "tombstones.on.delete (line 2): “yes” is neither true nor false"),
      (
        "transforms=route\ntransforms.route.type=io.debezium.transforms.ByLogicalTableRouter",
        "transforms.route.type (line 3): “io.debezium.transforms.ByLogicalTableRouter” is not supported; "
          + "use io.debezium.transforms.outbox.EventRouter or io.debezium.transforms.ExtractNewRecordState"
      ),
      (
        "transforms=u\ntransforms.u.type=io.debezium.transforms.ExtractNewRecordState\ntransforms.u.add.fields=op,colour",
        "transforms.u.add.fields (line 4): a change event has no field “colour”"
      ),
    ])
  func refused(_ line: String, _ expected: String) {
    #expect { _ = try ConnectorOptions(parsing: "topic.prefix=cdc\n\(line)\n") } throws: { "\($0)" == expected }
  }

  @Test("that only say how Connect runs are named and ignored")
  func ignored() throws {
    let options = try ConnectorOptions(
      parsing: "topic.prefix=cdc\ntasks.max=1\npoll.interval.ms=5\ndatabase.hostname=h\ndatabase.password=it's")
    #expect(options.ignored == ["tasks.max", "poll.interval.ms"])
    #expect(options.connection == "host='h' password='it\\'s'")
  }
}

@Suite("A relay of others' tables", .serialized, .workLimit(minutes: 5)) struct ConnectorTests {
  private func options(_ database: TestDatabase, _ prefix: String, _ lines: String = "") throws -> RelayOptions {
    let connector = try ConnectorOptions(
      parsing: "topic.prefix=\(prefix)\nslot.name=\(prefix)\nvalue.converter.schemas.enable=false\n"
        + "key.converter.schemas.enable=false\ntable.include.list=public.*\n\(lines)")
    return RelayOptions(
      postgres: database.options, kafka: KafkaOptions(brokers: try Stack.kafka), feed: ConnectorFeed(connector),
      slot: connector.slot, publication: connector.publication, partitions: 1, version: "test")
  }

  private func values(_ topic: String, _ count: Int, on reactor: Reactor) async throws -> [String] {
    try await readMessages(of: topic, on: reactor) { $0.count >= count }.map(\.text)
  }

  @Test("sends what was there first, then what changes, across a restart, and nothing twice")
  func snapshotAndStream() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.item (id int primary key, name text); insert into item values (1, 'a'), (2, 'b')")
      let options = try options(database, prefix)
      try await whileRelaying(options, on: database.reactor) { relay in
        try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
        try await session.execute("update item set name = 'c' where id = 2")
        try await eventually("it is confirmed", on: database.reactor) {
          try await values("\(prefix).public.item", 3, on: database.reactor).count == 3
        }
      }
      try await session.execute(
        "alter table item add column more int; delete from item where id = 1; insert into item values (3, 'd', 4)")
      try await whileRelaying(options, on: database.reactor) { _ in
        let values = try await values("\(prefix).public.item", 6, on: database.reactor)
        #expect(values.count == 6)
        #expect(
          values.map { $0.split(separator: "\"op\":\"").last?.prefix(1) ?? "" } == ["r", "r", "u", "d", "n", "c"])
        #expect(values.last?.contains(#""after":{"id":3,"name":"d","more":4}"#) == true)
      }
      session.close()
    }
  }

  @Test("parks a message for a partition that the topic does not have, and nothing else")
  func unknownPartition() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.outbox (id uuid primary key, aggregatetype text, aggregateid text, payload text, part int)"
      )
      let options = try options(
        database, prefix,
        """
        transforms=outbox
        transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
        transforms.outbox.route.topic.replacement=\(prefix).${routedByValue}
        transforms.outbox.table.fields.additional.placement=part:partition
        """)
      try await whileRelaying(options, on: database.reactor) { _ in
        for (number, part) in [0, 7, 0].enumerated() {
          try await session.execute(
            "insert into public.outbox values (gen_random_uuid(), 'thing', 'k\(number)', '\(number)', \(part))")
        }
        // The first may come again with the attempt after the refusal.
        let all = try await readMessages(of: "\(prefix).thing", on: database.reactor) { Set($0.map(\.text)).count >= 2 }
        #expect(Set(all.map(\.text)) == [#""0""#, #""2""#])
        try await eventually("it is parked", on: database.reactor) {
          let parked = try await ParkedMessages(session).list()
          return parked.count == 1 && parked[0].key.contains("k1")
        }
      }
      session.close()
    }
  }

  @Test(
    "parks a message whose time the broker refuses, and nothing else",
    .enabled(if: Stack.hasEngines, "the stand-in for Kafka takes every time"))
  func timestamp() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.outbox (id uuid primary key, aggregatetype text, aggregateid text, payload text, at bigint)"
      )
      // The broker takes no message that is more than an hour in the future.
      try await KafkaAdmin(KafkaOptions(brokers: try Stack.kafka)).createTopic(
        "\(prefix).thing", partitions: 1, settings: ["message.timestamp.after.max.ms": "3600000"])
      let options = try options(
        database, prefix,
        """
        transforms=outbox
        transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
        transforms.outbox.route.topic.replacement=\(prefix).${routedByValue}
        transforms.outbox.table.field.event.timestamp=at
        """)
      try await whileRelaying(options, on: database.reactor) { _ in
        for (number, days) in [0, 400, 0].enumerated() {
          try await session.execute(
            """
            insert into public.outbox
            values (gen_random_uuid(), 'thing', 'k\(number)', '\(number)', extract(epoch from now() + interval '\(days) days') * 1000)
            """)
        }
        let all = try await readMessages(of: "\(prefix).thing", on: database.reactor) { Set($0.map(\.text)).count >= 2 }
        #expect(Set(all.map(\.text)) == [#""0""#, #""2""#])
        try await eventually("it is parked", on: database.reactor) {
          let parked = try await ParkedMessages(session).list()
          return parked.count == 1 && parked[0].key.contains("k1") && parked[0].reason.contains("INVALID_TIMESTAMP")
        }
      }
      session.close()
    }
  }

  @Test("creates topics as topic.creation says, or none")
  func topicCreation() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (id int primary key); insert into item values (1)")
      var options = try options(database, prefix, "topic.creation.enable=false")
      options.createsTopics = false
      let reason = try await failure(of: options, on: database.reactor)
      #expect(reason.contains("does not exist"))
      let connector = try ConnectorOptions(
        parsing: "topic.prefix=x\ntopic.creation.default.partitions=4\ntopic.creation.default.replication.factor=-1\n")
      #expect(connector.partitions == 4 && connector.replication == nil && connector.createsTopics)
      session.close()
    }
  }

  @Test("follows its include list with a publication of its own")
  func followedList() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.one (id int primary key); create table public.two (id int primary key)")
      func list(_ tables: String) throws -> RelayOptions {
        let connector = try ConnectorOptions(
          parsing: "topic.prefix=\(prefix)\nslot.name=\(prefix)\npublication.name=\(prefix)\n"
            + "publication.autocreate.mode=filtered\ntable.include.list=\(tables)\n")
        return RelayOptions(
          postgres: database.options, kafka: KafkaOptions(brokers: try Stack.kafka), feed: ConnectorFeed(connector),
          slot: connector.slot, publication: connector.publication, partitions: 1, version: "test")
      }
      try await whileRelaying(try list("public.one"), on: database.reactor) { _ in }
      try await whileRelaying(try list("public.one,public.two"), on: database.reactor) { _ in
        try await session.execute("insert into two values (1)")
        let all = try await values("\(prefix).public.two", 1, on: database.reactor)
        #expect(all.count == 1)
      }
      // Others may use it too: a narrower list, or a look, takes nothing away.
      try await whileRelaying(try list("public.one"), on: database.reactor) { _ in }
      var looking = try list("public.one")
      looking.slot += "_other"
      looking.destination = .nothing
      try await whileRelaying(looking, on: database.reactor) { _ in }
      let tables = try await session.execute(
        "select tablename from pg_publication_tables where pubname = '\(prefix)' order by 1")
      #expect(tables == [["one"], ["two"]])
      session.close()
    }
  }

  @Test("leaves the slots of others alone: of a relay of the outbox, and one with the name of its marker")
  func othersSlots() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (id int primary key)")
      let connector = try options(database, prefix)
      var outbox = try outboxOptions(database, topic: Stack.uniqueName("cdc"))
      outbox.slot = prefix
      try await whileRelaying(outbox, on: database.reactor) { _ in }
      let reason = try await failure(of: connector, on: database.reactor)
      #expect(reason.contains("a relay of that name reads the outbox"))
      let other = try options(database, "\(prefix)x")
      try await session.execute("select pg_create_logical_replication_slot('\(prefix)x_snapshot', 'pgoutput')")
      let second = try await failure(of: other, on: database.reactor)
      #expect(second.contains("a logical slot"))
      #expect(try await session.execute("select feed, ready from annals.relays") == [["outbox", "t"]])
      session.close()
    }
  }

  @Test("goes on with its slot where an unfinished snapshot is not wanted any more")
  func unwantedSnapshot() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (id int primary key)")
      try await session.execute("select pg_create_physical_replication_slot('\(prefix)_snapshot')")
      try await session.execute("select pg_create_logical_replication_slot('\(prefix)', 'pgoutput')")
      try await session.execute("create publication dbz_publication for all tables")
      // Behind the slot's start, before the relay's: a new slot would miss it.
      try await session.execute("insert into item values (1)")
      try await whileRelaying(try options(database, prefix, "snapshot.mode=no_data"), on: database.reactor) { _ in
        let all = try await values("\(prefix).public.item", 1, on: database.reactor)
        #expect(all.count == 1)
      }
      #expect(
        try await session.execute("select 1 from pg_replication_slots where slot_name = '\(prefix)_snapshot'").isEmpty)
      session.close()
    }
  }

  @Test("keeps nothing of a large transaction of which nothing is sent")
  func excludedTransaction() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.item (id int primary key); create schema other; create table other.big (id int, text text)"
      )
      try await session.execute("alter database \(database.name) set logical_decoding_work_mem = '64kB'")
      var options = try options(database, prefix, "message.prefix.exclude.list=.*")
      options.spoolMemory = 50_000
      let log = LogRecorder()
      try await whileRelaying(options, log: log, on: database.reactor) { _ in
        try await session.execute(
          "begin; insert into item values (1); insert into other.big select n, repeat('x', 100) from generate_series(1, 5000) n; "
            + "insert into item values (2); commit")
        let all = try await values("\(prefix).public.item", 2, on: database.reactor)
        #expect(all.count == 2)
      }
      let relayed = log.lines.filter { $0.message == "Large transaction relayed" }
      // More than one: an attempt that was repeated.
      #expect(!relayed.isEmpty)
      #expect(
        relayed.allSatisfy { line in
          line.metadata.contains { $0.key == "spilled" && $0.value == "0" }
            && line.metadata.contains { $0.key == "bytes" && (Int($0.value) ?? .max) < 10_000 }
        })
      session.close()
    }
  }

  @Test("that finds its slot gone says so and stops, until it is told to go on: changes may be missing (G10)")
  func slotGone() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.item (id int primary key)")
      let options = try options(database, prefix, "snapshot.mode=no_data")
      try await whileRelaying(options, on: database.reactor) { _ in
        try await session.execute("insert into item values (1)")
        #expect(try await values("\(prefix).public.item", 1, on: database.reactor).count == 1)
      }
      try await database.dropSlot(prefix, session)
      try await session.execute("insert into item values (2)")
      let reason = try await failure(of: options, on: database.reactor)
      #expect(reason.contains("annals relay forget \(prefix)"))
      // Told to read the tables again, it does; told to forget, it begins behind the gap.
      let again = try self.options(database, prefix, "snapshot.mode=when_needed")
      try await whileRelaying(again, on: database.reactor) { _ in
        let all = try await values("\(prefix).public.item", 3, on: database.reactor)
        #expect(all.count == 3)
      }
      try await database.dropSlot(prefix, session)
      try await eventually("the server has noticed that the relay is gone", on: database.reactor) {
        do { return try await OutboxMaintenance.forget(prefix, session) } catch PostgresError.server(let error)
          where error.sqlState == "55006"
        { return false }
      }
      try await whileRelaying(options, on: database.reactor) { _ in
        try await session.execute("insert into item values (3)")
        #expect(try await values("\(prefix).public.item", 4, on: database.reactor).count == 4)
      }
      session.close()
    }
  }

  @Test("never sends Annals' own tables, unless they are named", arguments: ["all_tables", "filtered"])
  func ownSchema(mode: String) async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let connector = try ConnectorOptions(
        parsing:
          "topic.prefix=\(prefix)\nslot.name=\(prefix)\npublication.name=\(prefix)\npublication.autocreate.mode=\(mode)\n"
      )
      let options = RelayOptions(
        postgres: database.options, kafka: KafkaOptions(brokers: try Stack.kafka), feed: ConnectorFeed(connector),
        slot: connector.slot, publication: connector.publication, partitions: 1, version: "test")
      let session = try await database.session()
      try await session.execute("create table public.item (id int primary key); insert into item values (1)")
      try await database.append("a", 1...2)
      try await whileRelaying(options, on: database.reactor) { _ in
        try await database.append("a", 3...3)
        try await session.execute("insert into item values (2)")
        #expect(try await values("\(prefix).public.item", 2, on: database.reactor).count == 2)
      }
      let topics = try await KafkaAdmin(KafkaOptions(brokers: try Stack.kafka)).describe().topics.keys
      #expect(topics.filter { $0.hasPrefix(prefix) } == ["\(prefix).public.item"])
      session.close()
    }
  }

  @Test("begins its snapshot anew where it was not finished")
  func unfinishedSnapshot() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.item (id int primary key); insert into item select generate_series(1, 500)")
      // As a relay leaves it that was killed while it read the tables: both slots are there.
      try await session.execute("select pg_create_physical_replication_slot('\(prefix)_snapshot')")
      try await session.execute("select pg_create_logical_replication_slot('\(prefix)', 'pgoutput')")
      try await whileRelaying(try options(database, prefix), on: database.reactor) { relay in
        #expect(try await values("\(prefix).public.item", 500, on: database.reactor).count == 500)
        try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
      }
      #expect(
        try await session.execute("select slot_name from pg_replication_slots where slot_name like '\(prefix)%'")
          == [[prefix]])
      session.close()
    }
  }

  @Test("goes on with its snapshot where it was stopped, and sends what changed meanwhile once")
  func resumedSnapshot() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      for table in ["a", "b", "c"] {
        try await session.execute(
          "create table public.\(table) (id int primary key, n int); insert into \(table) values (1, 0), (2, 0)")
      }
      // As a relay leaves it that was killed while it read b: the slot is there, marked, and a is done.
      try await session.execute("create publication dbz_publication for all tables")
      try await session.execute("select pg_create_physical_replication_slot('\(prefix)_snapshot')")
      try await session.execute("select pg_create_logical_replication_slot('\(prefix)', 'pgoutput')")
      try await session.execute(
        """
        insert into annals.relay_snapshots (slot, table_id, seen, position)
        select '\(prefix)', 'a'::regclass, pg_current_snapshot(), pg_current_wal_insert_lsn()
        """)
      // In the stream; of b and c also in what is read now.
      try await session.execute(
        "update a set n = 1 where id = 1; update b set n = 1 where id = 1; delete from c where id = 2")
      // Not to be seen by what is read now: the stream alone brings it.
      let open = try await database.session()
      try await open.execute("begin; update c set n = 2 where id = 1")
      func operations(_ table: String, _ count: Int) async throws -> [String] {
        try await values("\(prefix).public.\(table)", count, on: database.reactor).map { value in
          let after = value.split(separator: "\"after\":").last?.prefix { $0 != "}" } ?? ""
          return "\(value.split(separator: "\"op\":\"").last?.prefix(1) ?? "") \(after)}"
        }
      }
      try await whileRelaying(try options(database, prefix), on: database.reactor) { _ in
        try await open.execute("commit")
        try await session.execute("insert into b values (3, 3)")
        #expect(try await operations("a", 1) == [#"u {"id":1,"n":1}"#])
        #expect(
          Set(try await operations("b", 3)) == [#"r {"id":1,"n":1}"#, #"r {"id":2,"n":0}"#, #"c {"id":3,"n":3}"#])
        #expect(try await operations("c", 2) == [#"r {"id":1,"n":0}"#, #"u {"id":1,"n":2}"#])
        try await eventually("what it noted is forgotten", on: database.reactor) {
          try await session.execute("select 1 from annals.relay_snapshots").isEmpty
        }
      }
      open.close()
      session.close()
    }
  }

  @Test("routes an outbox's rows by their type, and an update of it stops the relay where that is asked for")
  func outbox() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.outbox (id uuid primary key, aggregatetype text, aggregateid text, type text, payload jsonb)"
      )
      let options = try options(
        database, prefix,
        """
        snapshot.mode=no_data
        transforms=o
        transforms.o.type=io.debezium.transforms.outbox.EventRouter
        transforms.o.route.topic.replacement=\(prefix).${routedByValue}
        transforms.o.table.expand.json.payload=true
        transforms.o.table.op.invalid.behavior=fatal
        """)
      try await whileRelaying(options, on: database.reactor) { relay in
        try await eventually("it streams", on: database.reactor) { await relay.state == .streaming }
        let id = "01890a5d-ac96-774b-bcce-b302099a8057"
        try await session.execute(
          "begin; insert into public.outbox values ('\(id)', 'order', 'o-1', 'Placed', '{\"n\": 1, \"none\": null}'); delete from public.outbox; commit"
        )
        #expect(try await values("\(prefix).order", 1, on: database.reactor) == [#"{"n":1}"#])
        try await session.execute(
          "insert into public.outbox values ('\(id)', 'order', 'o-1', 'Placed', '{}'); update public.outbox set type = 'x'"
        )
        try await eventually("it says why it stands still", on: database.reactor) {
          if case .failing(let reason) = await relay.state {
            reason.contains("public.outbox was updated")
          } else {
            false
          }
        }
      }
      session.close()
    }
  }

  @Test("follows its publication while it changes, and leaves out what came from elsewhere where that is asked for")
  func publicationAndOrigins() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute("create table public.a (id int primary key)")
      var options = try options(
        database, prefix,
        "snapshot.mode=no_data\npublication.autocreate.mode=filtered\npublication.name=\(prefix)\nheartbeat.interval.ms=50"
      )
      options.skipsForeignOrigins = true
      let log = LogRecorder()
      try await whileRelaying(options, log: log, on: database.reactor) { _ in
        try await session.execute("insert into a values (1)")
        #expect(try await values("\(prefix).public.a", 1, on: database.reactor).count == 1)
        try await session.execute("create table public.b (id int primary key); insert into b values (1)")
        try await session.execute("alter publication \(prefix) add table b; insert into b values (2)")
        #expect(try await values("\(prefix).public.b", 1, on: database.reactor)[0].contains(#""after":{"id":2}"#))
        try await session.execute("alter publication \(prefix) drop table a; insert into a values (2)")
        let subscriber = try await database.session()
        try await subscriber.execute(
          """
          select pg_replication_origin_create('\(prefix)');
          select pg_replication_origin_session_setup('\(prefix)');
          insert into b values (3);
          """)
        try await subscriber.execute("select pg_replication_origin_session_reset()")
        subscriber.close()
        try await session.execute(
          "alter publication \(prefix) add table a; insert into a values (4); insert into b values (4)")
        // What came before may come again with a new attempt.
        func rows(_ table: String) async throws -> [String] {
          let all = try await readMessages(of: "\(prefix).public.\(table)", on: database.reactor) { messages in
            messages.contains { $0.text.contains(#""after":{"id":4}"#) }
          }
          var seen: Set<String> = []
          return all.map { String($0.text.prefix { $0 != "}" }) + "}" }.filter { seen.insert($0).inserted }
        }
        let (a, b) = (try await rows("a"), try await rows("b"))
        let problems = log.lines.filter { $0.level >= .warning }
        #expect(a.count == 2 && a[1].contains(#""after":{"id":4}"#), "\(a) \(problems)")
        #expect(b.count == 2 && b[1].contains(#""after":{"id":4}"#), "\(b)")
        try await session.execute("select pg_replication_origin_drop('\(prefix)')")
      }
      session.close()
    }
  }

  @Test("parks an event whose topic Kafka cannot have, and sends the others (G7)")
  func impossibleTopic() async throws {
    try await withDatabase { database in
      let prefix = Stack.uniqueName("cdc")
      let session = try await database.session()
      try await session.execute(
        "create table public.outbox (id uuid primary key, aggregatetype text, aggregateid text, type text, payload jsonb)"
      )
      let options = try options(
        database, prefix,
        """
        snapshot.mode=no_data
        transforms=o
        transforms.o.type=io.debezium.transforms.outbox.EventRouter
        transforms.o.route.topic.replacement=\(prefix).${routedByValue}
        """)
      try await whileRelaying(options, on: database.reactor) { _ in
        // Rows of one COPY have one place in the WAL.
        var lines: [UInt8]? = Array(
          ["no topic at all", "order", "no topic at all", "no topic at all"].map {
            "\(UUID.version7())\t\($0)\to-1\tPlaced\t{}\n"
          }.joined().utf8)
        try await session.copyIn(Query("", "copy public.outbox from stdin")) {
          defer { lines = nil }
          return lines
        }
        #expect(try await values("\(prefix).order", 1, on: database.reactor).count == 1)
        try await eventually("all three are parked", on: database.reactor) {
          let parked = try await ParkedMessages(session).list()
          return parked.map(\.topic) == ["\(prefix).no topic at all"] && parked.map(\.count) == [3]
        }
        let reason = try await ParkedMessages(session).list().first?.reason ?? ""
        #expect(reason.contains("Invalid topic"), "\(reason)")
      }
      session.close()
    }
  }
}
