import Postgres

/// Tells how far the relay may confirm to Postgres.
///
/// Transactions come in commit order; acknowledgements of their messages come in any order. The confirmed position is
/// the end of the last transaction before which, itself included, every message has been acknowledged (G6). A keepalive
/// says that there is nothing more to send up to its position: it counts only while nothing at all is in flight, an
/// open transaction included.
struct ConfirmationTracker {
  private struct Transaction {
    var end: LogSequenceNumber?
    var waiting = 0
  }

  private var transactions: [Transaction] = []
  private var head = 0
  /// The number of the transaction at `head`.
  private var headNumber = 0
  private(set) var confirmed: LogSequenceNumber
  /// Messages sent and not acknowledged.
  private(set) var inFlight = 0

  init(confirmed: LogSequenceNumber = .zero) { self.confirmed = confirmed }

  /// Whether everything that was begun is confirmed.
  var isIdle: Bool { head == transactions.count }

  /// A transaction begins; its messages carry the number that is returned.
  mutating func begin() -> Int {
    transactions.append(Transaction())
    return headNumber + transactions.count - head - 1
  }

  /// More messages of the transaction are on their way.
  mutating func sent(_ number: Int, count: Int = 1) {
    guard count > 0, let index = index(of: number) else { return }
    transactions[index].waiting += count
    inFlight += count
  }

  /// One message of the transaction is acknowledged.
  mutating func acknowledged(_ number: Int) {
    guard let index = index(of: number), transactions[index].waiting > 0 else { return }
    transactions[index].waiting -= 1
    inFlight -= 1
    advance()
  }

  /// The transaction's commit is here: no message of it follows.
  mutating func committed(_ number: Int, end: LogSequenceNumber) {
    guard let index = index(of: number) else { return }
    transactions[index].end = end
    advance()
  }

  /// The server has nothing more to send up to `end`.
  mutating func keepalive(end: LogSequenceNumber) {
    if isIdle, end > confirmed { confirmed = end }
  }

  private func index(of number: Int) -> Int? {
    let index = head + number - headNumber
    return (head..<transactions.count).contains(index) ? index : nil
  }

  private mutating func advance() {
    while head < transactions.count, let end = transactions[head].end, transactions[head].waiting == 0 {
      confirmed = max(confirmed, end)
      head += 1
      headNumber += 1
    }
    if head == transactions.count {
      transactions.removeAll(keepingCapacity: true)
      head = 0
    } else if head > 4_096 {
      transactions.removeFirst(head)
      head = 0
    }
  }
}
