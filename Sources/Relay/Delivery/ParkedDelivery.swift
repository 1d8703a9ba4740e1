import Kafka
import Logging
import Metrics

extension Delivery {
  /// Parks a message that cannot be delivered.
  func park(_ message: MessageBatch.Message, of batch: MessageBatch, _ key: MessageBatch.Key, reason: String)
    async throws
  {
    guard let lot else { throw UndeliverableMessage(topic: key.topic, reason: reason) }
    if !lot.contains(key) {
      logger.error(
        "Key parked", metadata: ["topic": key.topic, "key": message.key.map(batch.text) ?? "", .error: reason])
    }
    if transactions != nil {
      lot.expect(key)
      toPark.append((batch.only(message), reason))
    } else {
      _ = try await lot.park(message, of: batch, key, reason: reason)
      acknowledgements.refused[batch.identity(of: message)] = nil
    }
    parked(message)
  }

  /// Parks a message behind an earlier one of its key.
  ///
  /// - Returns: False if it need not wait: the operator has settled the earlier one.
  func wait(_ message: MessageBatch.Message, of batch: MessageBatch, _ key: MessageBatch.Key) async throws -> Bool {
    guard let lot else { return false }
    if transactions != nil {
      toPark.append((batch.only(message), nil))
      parked(message)
      return true
    }
    switch try await lot.park(message, of: batch, key, reason: nil) {
    case .parked: parked(message)
    case .settled: acknowledgements.settled(message.transaction, isDelivered: false)
    case .free: return false
    }
    return true
  }

  /// Stores what is parked with the Kafka transaction that is about to be committed.
  func storeParked() async throws {
    guard let lot, !toPark.isEmpty else { return }
    for (batch, reason) in toPark {
      let message = batch.messages[0]
      // It is not in the transaction, so it is stored whatever became of its predecessors.
      _ = try await lot.park(
        message, of: batch, batch.key(of: message), reason: reason ?? ParkingLot.waiting)
      acknowledgements.refused[batch.identity(of: message)] = nil
    }
    toPark = []
  }

  /// The database has the message: its transaction need not wait for Kafka.
  private func parked(_ message: MessageBatch.Message) {
    acknowledgements.settled(message.transaction, isDelivered: false)
    metrics.parked.increment()
  }

  /// Carries out the operator's requests: sends a key's parked messages in order, before any newer message.
  ///
  /// - Parameter whileWaiting: Called at least about twice a second.
  func review(whileWaiting: () async throws -> Void = {}) async throws {
    guard let lot, !lot.keys.isEmpty else { return }
    let requested = try await lot.review()
    if !requested.isEmpty { sink.forgetLimits() }
    for key in requested where try await lot.lock(key) {
      let isDelivered = try await send(key, of: lot, whileWaiting: whileWaiting)
      try await lot.unlock(key)
      if isDelivered { logger.notice("Parked key delivered", metadata: ["topic": key.topic]) }
    }
    _ = try await lot.review()
    metrics.parkedKeys.set(lot.keys.count)
  }

  /// Sends the parked messages of a key.
  ///
  /// - Returns: False if one of them was refused again.
  private func send(
    _ key: MessageBatch.Key, of lot: ParkingLot, whileWaiting: () async throws -> Void
  ) async throws -> Bool {
    while true {
      let number = tracker.begin()
      defer { tracker.committed(number, end: nil) }
      let messages = try await lot.messages(of: key, transaction: number)
      if messages.isEmpty { return true }
      for message in messages {
        try await whileWaiting()
        tracker.sent(number)
        do {
          if let reason = try await sendAgain(message, whileWaiting: whileWaiting) {
            acknowledgements.settled(number, isDelivered: false)
            try await lot.refused(message.id, reason: reason)
            logger.error(
              "Parked message refused again; its key stays parked", metadata: ["topic": key.topic, .error: reason])
            return false
          }
        } catch {
          if let failure = acknowledgements.failure, failure.kind == .refused {
            try await lot.refused(message.id, reason: "\(failure)")
          }
          throw error
        }
        try await lot.delivered(message.id)
      }
    }
  }

  /// - Returns: Why Kafka refused the message; nil: it is delivered.
  private func sendAgain(
    _ message: ParkingLot.Parked, whileWaiting: () async throws -> Void
  ) async throws -> String? {
    let doubt = try await sink.doubts(message.batch)[0]
    if let doubt, doubt.isCertain { return doubt.reason }
    if transactions == nil {
      if let refusal = try await sink.probe(message.batch, whileWaiting: whileWaiting) {
        return doubt.map { "\($0.reason): \(refusal)" } ?? refusal
      }
      acknowledgements.settled(message.batch.messages[0].transaction, isDelivered: true)
      return nil
    }
    try beginTransactionIfNeeded()
    do { try await sink.send(message.batch, whileWaiting: whileWaiting) } catch let refusal as MessageRefused {
      return refusal.reason
    }
    try await arrive(whileWaiting: whileWaiting)
    try await commit(parked: message.id)
    return nil
  }
}

/// Kafka permanently refuses a message, and the database has no table to park it in.
struct UndeliverableMessage: Error, CustomStringConvertible {
  let topic: String
  let reason: String
  var description: String {
    "a message for topic \(topic) cannot be delivered: \(reason). Fix the cause, or run annals migrate: "
      + "it creates annals.parked_messages, the table in which such messages are parked"
  }
}
