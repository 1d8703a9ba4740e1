import Postgres
@testable import Relay
import Testing

@Suite("The confirmed position (G6)", .timeLimit(.minutes(5))) struct ConfirmationTrackerTests {
  private func lsn(_ value: UInt64) -> LogSequenceNumber { LogSequenceNumber(value) }

  @Test("waits for the oldest transaction, whatever was acknowledged behind it")
  func contiguous() {
    var tracker = ConfirmationTracker()
    let first = tracker.begin()
    tracker.sent(first)
    tracker.committed(first, end: lsn(10))
    let second = tracker.begin()
    tracker.sent(second)
    tracker.committed(second, end: lsn(20))
    tracker.acknowledged(second)
    #expect(tracker.confirmed == lsn(0))
    tracker.acknowledged(first)
    #expect(tracker.confirmed == lsn(20))
    #expect(tracker.isIdle)
  }

  @Test("does not pass a transaction whose commit has not come")
  func open() {
    var tracker = ConfirmationTracker()
    let number = tracker.begin()
    tracker.sent(number)
    tracker.acknowledged(number)
    tracker.keepalive(end: lsn(50))
    #expect(tracker.confirmed == lsn(0))
    tracker.committed(number, end: lsn(10))
    #expect(tracker.confirmed == lsn(10))
  }

  @Test("follows keepalives only while nothing is in flight")
  func keepalives() {
    var tracker = ConfirmationTracker(confirmed: lsn(5))
    tracker.keepalive(end: lsn(7))
    #expect(tracker.confirmed == lsn(7))
    tracker.keepalive(end: lsn(6))
    #expect(tracker.confirmed == lsn(7))
    let number = tracker.begin()
    tracker.sent(number)
    tracker.committed(number, end: lsn(9))
    tracker.keepalive(end: lsn(20))
    #expect(tracker.confirmed == lsn(7))
    tracker.acknowledged(number)
    #expect(tracker.confirmed == lsn(9))
  }

  /// The rule again, as slow and plain as it can be said.
  struct Model {
    struct Transaction {
      var end: UInt64?
      var waiting = 0
    }
    var transactions: [Transaction] = []
    var confirmed: UInt64 = 0

    mutating func settle() {
      for transaction in transactions {
        guard let end = transaction.end, transaction.waiting == 0 else { return }
        confirmed = max(confirmed, end)
      }
    }
    var isIdle: Bool { transactions.allSatisfy { $0.end != nil && $0.waiting == 0 } }
  }

  @Test("is what the plain rule says, over random histories")
  func model() {
    for _ in 0..<300 {
      var tracker = ConfirmationTracker()
      var model = Model()
      var position: UInt64 = 1
      var outstanding: [Int] = []
      var open: Int?
      for _ in 0..<200 {
        position += UInt64.random(in: 1...5)
        switch Int.random(in: 0..<10) {
        case 0..<2 where open == nil:
          open = tracker.begin()
          model.transactions.append(.init())
          #expect(open == model.transactions.count - 1)
        case 2..<5:
          guard let number = open else { continue }
          tracker.sent(number)
          model.transactions[number].waiting += 1
          outstanding.append(number)
        case 5..<6:
          guard let number = open else { continue }
          tracker.committed(number, end: LogSequenceNumber(position))
          model.transactions[number].end = position
          open = nil
        case 6..<9:
          guard !outstanding.isEmpty else { continue }
          let number = outstanding.remove(at: Int.random(in: 0..<outstanding.count))
          tracker.acknowledged(number)
          model.transactions[number].waiting -= 1
        default:
          tracker.keepalive(end: LogSequenceNumber(position))
          if model.isIdle { model.confirmed = max(model.confirmed, position) }
        }
        model.settle()
        #expect(tracker.confirmed.value == model.confirmed)
        #expect(tracker.isIdle == model.isIdle)
        #expect(tracker.inFlight == outstanding.count)
      }
    }
  }

  @Test("counts transactions that have no LSN, as those of the table")
  func withoutLSN() {
    var tracker = ConfirmationTracker(confirmed: lsn(5))
    let first = tracker.begin()
    let second = tracker.begin()
    tracker.sent(first)
    tracker.committed(first, end: nil)
    tracker.committed(second, end: nil)
    #expect(tracker.firstUnconfirmed == first)
    tracker.acknowledged(first)
    #expect(tracker.firstUnconfirmed == second + 1)
    #expect(tracker.confirmed == lsn(5))
  }
}

@Suite("Partitions") struct PartitionChangeTests {
  @Test("that a topic gets or loses are noticed; a topic that is new or gone is none of them")
  func changes() {
    let changes = PartitionChange.between(["a": 3, "b": 2, "c": 1, "d": 4], ["a": 6, "b": 2, "d": 2, "e": 9])
    #expect(
      changes == [
        PartitionChange(topic: "a", before: 3, after: 6), PartitionChange(topic: "d", before: 4, after: 2),
      ])
  }
}
