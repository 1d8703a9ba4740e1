/// The least rate at which a client must send or take bytes.
///
/// A credit of time: it starts at `patience`, never exceeds that, falls while time passes, and grows by a second for
/// each `bytesPerSecond` bytes that move. A stall of `patience` uses it up; so does a longer transfer below the rate.
struct LeastRate {
  private let bytesPerSecond: Int
  private let patience: Duration
  private var credit: Duration
  private var counted = 0
  private var last: ContinuousClock.Instant?

  init(bytesPerSecond: Int, patience: Duration) {
    (self.bytesPerSecond, self.patience, credit) = (bytesPerSecond, patience, patience)
  }

  /// Notes that the client owes nothing now: the time until the next look does not count.
  mutating func rest() { last = nil }

  /// - Parameter moved: All bytes that have moved until now.
  /// - Returns: False if the client is too slow.
  mutating func look(moved: Int, now: ContinuousClock.Instant) -> Bool {
    let earned = Duration.seconds(Double(max(0, moved - counted)) / Double(bytesPerSecond))
    counted = moved
    if let last { credit -= now - last }
    last = now
    credit = min(patience, credit + earned)
    return credit > .zero
  }
}
