import EventStore
package import Events
package import Kafka
package import Logging
import Metrics
package import Postgres
package import Reactor
package import Relay

// The suites of relays run their tests one after another: each slot decodes the whole server's WAL and waits for every
// transaction that it finds running, other tests' included; all at once they would wait for each other.

/// Starts a relay, runs `body` once it works, and stops it in good order, whatever became of `body`.
///
/// - Parameter log: Keeps the relay's log, for the message of a failed expectation.
package func whileRelaying<Value>(
  _ options: RelayOptions, log: LogRecorder = LogRecorder(), on reactor: Reactor, _ body: (Relay) async throws -> Value
) async throws -> Value {
  let logger = Logger(label: "test", level: .debug, handler: log)
  let relay = try Relay(options, on: reactor, logger: logger, metrics: .init())
  let running = Task(executorPreference: reactor) { await relay.run() }
  let result: Result<Value, any Error>
  do {
    try await eventually("the relay works", on: reactor) { await relay.state == .streaming }
    result = .success(try await body(relay))
  } catch { result = .failure(error) }
  running.cancel()
  await running.value
  return try result.get()
}

/// Starts a relay, waits until an attempt has failed, stops it, and returns the reason.
package func failure(of options: RelayOptions, on reactor: Reactor) async throws -> String {
  let relay = try Relay(options, on: reactor, logger: quietLogger(), metrics: .init())
  let running = Task(executorPreference: reactor) { await relay.run() }
  var reason = ""
  try await eventually("it fails", on: reactor) {
    if case .failing(let text) = await relay.state { reason = text }
    return !reason.isEmpty
  }
  running.cancel()
  await running.value
  return reason
}

/// Reads messages of a topic from its beginning until `isEnough` says so.
///
/// - Throws: `TimedOut`, when nothing has come for `patience`. How many have come before is no matter: on a busy machine
///   a long topic takes its time.
package func readMessages(
  of topic: String, on reactor: Reactor, until isEnough: ([KafkaMessage]) -> Bool
) async throws -> [KafkaMessage] {
  let consumer = try KafkaConsumer(
    KafkaOptions(brokers: try Stack.kafka, settings: ["topic.metadata.refresh.interval.ms": "200"]),
    group: Stack.uniqueName("group"), topics: [topic], on: reactor, logger: quietLogger())
  var messages: [KafkaMessage] = []
  var deadline = ContinuousClock.now + patience
  while !isEnough(messages), .now < deadline {
    let next = try await consumer.next(maximum: 1_000, timeout: .milliseconds(200))
    if !next.isEmpty { deadline = .now + patience }
    messages += next
  }
  await consumer.close()
  guard isEnough(messages) else {
    throw TimedOut(what: "a message of \(topic) after \(messages.count) that came", timeout: patience)
  }
  return messages
}

/// Reads messages of a topic from its beginning until they tell of so many events, whichever came more than once, and
/// the last message of each key is its newest: not in the midst of what a relay sends again.
package func readMessages(of topic: String, on reactor: Reactor, events: Int) async throws -> [KafkaMessage] {
  // What has been looked at is not looked at again: there may be a hundred thousand.
  var (seen, looked) = (Set<String>(), 0)
  var (newest, last): ([[UInt8]?: Int], [[UInt8]?: Int]) = ([:], [:])
  return try await readMessages(of: topic, on: reactor) { messages in
    for message in messages[looked...] {
      seen.insert(message.identity)
      let version = message.version ?? 0
      last[message.key] = version
      newest[message.key] = max(version, newest[message.key] ?? 0)
    }
    looked = messages.count
    return seen.count >= events && last == newest
  }
}

extension KafkaMessage {
  /// Which event it tells of.
  package var identity: String { "\(key.map { String(decoding: $0, as: UTF8.self) } ?? "") \(version ?? 0)" }
  package var text: String { value.map { String(decoding: $0, as: UTF8.self) } ?? "null" }
  /// Which event of its stream a message of Annals' outbox tells of.
  package var version: Int? { header("stream_version").flatMap { Int(String(decoding: $0, as: UTF8.self)) } }
}

extension TestDatabase {
  /// Drops a slot once its reader has left: the server notices a moment after the connection has closed.
  package func dropSlot(_ slot: String, _ session: PostgresSession) async throws {
    try await eventually("slot \(slot) is free", on: reactor) {
      try await session.execute("select 1 from pg_replication_slots where slot_name = '\(slot)' and active").isEmpty
    }
    try await session.execute("select pg_drop_replication_slot('\(slot)')")
  }

  /// Appends events of a thing, in one transaction.
  package func append(_ id: String, _ versions: ClosedRange<Int>) async throws {
    _ = try await EventStore(pool).append(
      thingEvents(id, versions), to: StreamID(category: "thing", id: id), expecting: .any,
      metadata: EventMetadata(actor: "a"))
  }
}

/// Options of a relay of Annals' own outbox: a slot of its own, and topics that begin with `topic`.
package func outboxOptions(_ database: TestDatabase, topic: String) throws -> RelayOptions {
  RelayOptions(
    postgres: database.options, kafka: KafkaOptions(brokers: try Stack.kafka),
    feed: OutboxFeed(topic: TopicTemplate("\(topic).{aggregate}s")!, name: "cdc"), slot: Stack.uniqueName("relay"),
    partitions: 3, version: "test")
}

/// Events of a thing, one for each number.
package func thingEvents(_ id: String, _ range: ClosedRange<Int>) -> [NewEvent] {
  range.map { number in
    func image(_ number: Int) -> [UInt8]? { number == 0 ? nil : Array(#"{"id":"\#(id)","n":\#(number)}"#.utf8) }
    return NewEvent(
      type: "Counted", data: Array("{}".utf8), change: RowChange(before: image(number - 1), after: image(number)))
  }
}
