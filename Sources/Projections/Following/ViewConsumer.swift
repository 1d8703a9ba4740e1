import Events
import Kafka
import Logging
import Metrics
import Reactor
import Time
import Tracing

/// Follows the change topics for one generation of a view: reads a batch, applies it, commits its offsets, in this order. No
/// message is skipped. Used by one task.
final class ViewConsumer {
  private let view: any View
  private let generation: Generation
  private let registry: ViewRegistry
  private let parking: ParkedChanges
  private let metrics: ViewMetrics
  private let consumer: KafkaConsumer
  /// The category of each topic's streams.
  private let categories: [String: String]
  private let group: String
  private let store: StoreWatch
  private let places: PlaceCheck
  private let reactor: Reactor
  private let logger: Logger
  private var hasEntries: Bool
  /// The next offset of each partition.
  private var offsets: [TopicPartition: Int64] = [:]

  static let maximumBatch = 1_000
  /// Bytes of messages that are applied together.
  static let maximumBytes = 4 << 20

  /// - Parameter connection: The store's, over which something was written before; nil: nothing was.
  init(
    _ view: any View, _ generation: Generation, _ source: ViewSource, registry: ViewRegistry, parking: ParkedChanges,
    metrics: ViewMetrics, since connection: Int? = nil, on reactor: Reactor, logger: Logger
  ) throws {
    (self.view, self.generation, self.registry, self.parking) = (view, generation, registry, parking)
    (self.metrics, self.reactor, self.logger) = (metrics, reactor, logger)
    hasEntries = generation.streams > 0
    categories = source.categories(of: view)
    let store = StoreWatch(view.store, generation, since: connection)
    self.store = store
    group = source.group(of: view, generation.number)
    places = PlaceCheck(source.kafka, on: reactor, logger: logger)
    consumer = try KafkaConsumer(
      source.kafka, group: group, instance: source.instance,
      topics: categories.keys.sorted(), known: Set(generation.offsets.keys),
      starts: { [places] groups in
        // What the group has committed is read before anything new is: later it would be compared with itself.
        places.look(at: groups)
        return try await store.starts(of: Set(groups.keys))
      }, on: reactor, logger: logger)
  }

  func close() async { await consumer.close() }

  /// True if every partition that this member has was read to its end.
  var isAtEnd: Bool { !consumer.assignment.isEmpty && consumer.atEnd == consumer.assignment }

  /// True if all partitions were read to these offsets.
  ///
  /// - Parameter alone: Nobody else is in the group: a partition that is not assigned yet was not read. Otherwise it is another
  ///   member's.
  func hasReached(_ ends: [TopicPartition: Int64], alone: Bool) -> Bool {
    ends.allSatisfy { partition, end in
      if end == 0 { return true }
      guard consumer.assignment.contains(partition) else { return !alone && !consumer.assignment.isEmpty }
      return max(consumer.ends[partition] ?? 0, offsets[partition] ?? 0) >= end
    }
  }

  /// Reads and applies what has come within a time.
  func step(timeout: Duration) async throws {
    var messages = try await consumer.next(maximum: Self.maximumBatch, timeout: timeout)
    let deadline = ContinuousClock.now + view.gathering
    while !messages.isEmpty, messages.count < Self.maximumBatch, .now < deadline {
      let more = try await consumer.next(maximum: Self.maximumBatch - messages.count, timeout: deadline - .now)
      if more.isEmpty { break }
      messages += more
    }
    try Task.checkCancellation()
    try await store.check()
    try places.check()
    let found = consumer.takeFound()
    if !found.isEmpty {
      // First the group's offset, then the note that it has one: a stop in between begins at their first message again.
      let starts = Dictionary(uniqueKeysWithValues: found.map { ($0, Int64(0)) })
        .filter { consumer.assignment.contains($0.key) && offsets[$0.key] == nil }
      try await consumer.commitNow(starts)
      try await registry.addOffsets(view.name, generation.number, starts)
    }
    if !messages.isEmpty {
      let start = ContinuousClock.now
      var rest = messages[...]
      while !rest.isEmpty {
        var bytes = 0
        let part = rest.prefix { message in
          defer { bytes += message.value?.count ?? 0 }
          return bytes < Self.maximumBytes
        }
        rest = rest.dropFirst(part.count)
        try await apply(Array(part))
        if !hasEntries {
          try await registry.noteEntries(view.name, generation.number)
          hasEntries = true
        }
        var reached: [TopicPartition: Int64] = [:]
        var notes: [TopicPartition: String] = [:]
        for message in part {
          reached[message.source] = message.offset + 1
          notes[message.source] = PlaceCheck.note(of: message)
        }
        // First the store's own note: the group's is never ahead of what the store has.
        try await store.note(StorePlace(builtTo: nil, offsets: reached))
        offsets.merge(reached) { $1 }
        // Only the new owner may commit offsets of a partition that was revoked in the meantime.
        try consumer.commit(reached.filter { consumer.assignment.contains($0.key) }, notes: notes)
      }
      metrics.batch.record(.now - start)
    }
    offsets = offsets.filter { consumer.assignment.contains($0.key) }
    metrics.note(lag: consumer.lag(behind: offsets), newest: messages.last?.timestamp, isAtEnd: isAtEnd)
  }

  /// Records that messages were applied, of which somebody wants to see the trace.
  private func trace(_ messages: [KafkaMessage], since begun: Timestamp) {
    guard let tracer = metrics.tracer else { return }
    for message in messages where message.value != nil {
      guard let header = message.header("traceparent"),
        let context = tracer.place(String(decoding: header, as: UTF8.self))
      else { continue }
      tracer.record(
        Span(
          "process \(message.source.topic)", .consumer, context.child(), parent: context.span, begun: begun,
          [
            ("messaging.system", "kafka"), ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"), ("messaging.destination.name", .text(message.source.topic)),
            ("messaging.destination.partition.id", .text("\(message.source.partition)")),
            ("messaging.kafka.offset", .number(message.offset)), ("messaging.consumer.group.name", .text(group)),
            ("annals.view", .text(view.name)),
          ]))
      logger.debug(
        "A change is in the view",
        metadata: [
          .trace: context.trace, "topic": message.source.topic, "partition": "\(message.source.partition)",
          "offset": "\(message.offset)",
        ])
    }
  }

  private func apply(_ messages: [KafkaMessage]) async throws {
    let begun = Timestamp.now()
    var changes: [ViewChange] = []
    // Unreadable messages and later ones of their streams. They are parked after the earlier changes are applied.
    var faults: [(name: String, version: StreamVersion, reason: String)] = []
    for message in messages {
      guard let category = categories[message.source.topic] else { continue }
      do throws(ViewChangeError) {
        guard let change = try ViewChange(message, of: category) else { continue }
        if let fault = faults.first(where: { $0.name == change.stream.description }) {
          faults.append((fault.name, change.version, fault.reason))
        } else {
          changes.append(change)
        }
      } catch {
        // It never becomes readable: a retry folds the stream from the log.
        let place = "\(message.source.topic)/\(message.source.partition)/\(message.offset)"
        let name = message.key.flatMap { ViewChange.id(inKey: $0) }.map { "\(category)-\($0)" } ?? place
        faults.append((name, .none, "\(error)"))
        logger.error("A message cannot be read; its stream is parked", metadata: [.error: "\(error)"])
      }
    }
    changes = try await parking.holdBack(changes)
    let reduced = view.takesEveryEvent ? changes : ViewChange.newest(of: changes)
    var backoff = Backoff(first: .milliseconds(100), limit: .seconds(5))
    // Kafka allows five minutes between two polls. After that, another member of the group reads the batch again.
    while true {
      do {
        let outcomes = try await view.applyInLanes(reduced, to: generation.number)
        for (change, outcome) in zip(reduced, outcomes) {
          if case .refused(let reason) = outcome {
            try await parking.park(change, reason: reason)
            logger.error(
              "A change was refused; its stream is parked", metadata: ["stream": "\(change.stream)", .error: reason])
          }
        }
        for fault in faults { try await parking.park(fault.name, version: fault.version, reason: fault.reason) }
        metrics.changes.increment(by: changes.count)
        trace(messages, since: begun)
        metrics.problem(nil)
        return
      } catch {
        guard backoff.attempts < 20, (error as? any RetriableError)?.isRetriable ?? false else { throw error }
        metrics.failures.increment()
        metrics.problem("\(error)")
        let delay = backoff.next()
        logger.warning(
          "A batch could not be applied and will be retried",
          metadata: [
            .error: "\(error)", .count: "\(reduced.count)", .attempt: "\(backoff.attempts)", .delay: "\(delay)",
          ])
        try await reactor.sleep(for: delay)
      }
    }
  }
}
