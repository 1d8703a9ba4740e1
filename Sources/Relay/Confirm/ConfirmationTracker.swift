package import Postgres
package import Time

/// Computes the LSN that the relay may confirm to Postgres.
///
/// Transactions arrive in commit order; acknowledgements of their messages arrive in any order. The confirmed LSN is
/// the end of the last transaction such that all messages of this and of every earlier transaction are acknowledged
/// (G6). A keepalive means that the server has nothing more to send up to its LSN. It counts only if every transaction
/// that began is confirmed.
package struct ConfirmationTracker {
  private struct Transaction {
    let committedAt: Timestamp?
    var isEnded = false
    var end: LogSequenceNumber?
    var waiting = 0
  }

  private var transactions: [Transaction] = []
  private var head = 0
  /// The number of the transaction at `head`.
  private var headNumber = 0
  private(set) var confirmed: LogSequenceNumber
  /// Number of messages sent but not acknowledged yet.
  private(set) var inFlight = 0

  package init(confirmed: LogSequenceNumber = .zero) { self.confirmed = confirmed }

  /// True if every transaction that began is confirmed.
  var isIdle: Bool { head == transactions.count }

  /// The number of the first transaction that is not confirmed, or will be the next one's.
  var firstUnconfirmed: Int { headNumber }

  /// Number of transactions that began and are not confirmed.
  var unconfirmed: Int { transactions.count - head }

  /// When the oldest of them was committed; nil: there is none, or it is not known.
  var oldest: Timestamp? { isIdle ? nil : transactions[head].committedAt }

  /// Begins a transaction and returns its number, which its messages carry.
  ///
  /// - Parameter time: When it was committed; nil: not known.
  package mutating func begin(at time: Timestamp? = nil) -> Int {
    transactions.append(Transaction(committedAt: time))
    return headNumber + transactions.count - head - 1
  }

  /// Counts messages of the transaction that are sent.
  mutating func sent(_ number: Int, count: Int = 1) {
    guard count > 0, let index = index(of: number) else { return }
    transactions[index].waiting += count
    inFlight += count
  }

  /// Counts one acknowledged message of the transaction.
  mutating func acknowledged(_ number: Int) {
    guard let index = index(of: number), transactions[index].waiting > 0 else { return }
    transactions[index].waiting -= 1
    inFlight -= 1
    advance()
  }

  /// Ends the transaction: its commit was received, so no more messages of it follow.
  ///
  /// - Parameter end: The LSN of its end; nil: it has none, because it does not come from the WAL.
  package mutating func committed(_ number: Int, end: LogSequenceNumber?) {
    guard let index = index(of: number) else { return }
    (transactions[index].isEnded, transactions[index].end) = (true, end)
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
    while head < transactions.count, transactions[head].isEnded, transactions[head].waiting == 0 {
      if let end = transactions[head].end { confirmed = max(confirmed, end) }
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
