import Synchronization

/// A number that only grows.
public final class Counter: Sendable {
  private let storage = Atomic<Int>(0)
  public init() {}
  public func increment(by amount: Int = 1) { storage.add(amount, ordering: .relaxed) }
  public var value: Int { storage.load(ordering: .relaxed) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
  private let storage = Atomic<UInt64>(0)
  public init() {}
  public func set(_ value: Double) { storage.store(value.bitPattern, ordering: .relaxed) }
  public func set(_ value: some BinaryInteger) { set(Double(value)) }
  public var value: Double { Double(bitPattern: storage.load(ordering: .relaxed)) }
}

/// Counts values in buckets.
public final class Histogram: Sendable {
  let bounds: [Double]
  private let buckets: [Bucket]
  private let total = Atomic<UInt64>(0)

  final class Bucket: Sendable { let value = Atomic<Int>(0) }

  public init(bounds: [Double]) {
    self.bounds = bounds
    buckets = (0...bounds.count).map { _ in Bucket() }
  }

  public func record(_ value: Double) {
    let index = bounds.firstIndex { value <= $0 } ?? bounds.count
    buckets[index].value.add(1, ordering: .relaxed)
    var known = total.load(ordering: .relaxed)
    while true {
      let sum = Double(bitPattern: known) + value
      let result = total.compareExchange(expected: known, desired: sum.bitPattern, ordering: .relaxed)
      if result.exchanged { return }
      known = result.original
    }
  }

  public func record(_ value: Int) { record(Double(value)) }

  /// Records a duration in seconds.
  public func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    record(Double(seconds) + Double(attoseconds) / 1e18)
  }

  /// Counts per bucket. The last bucket has no upper bound.
  var counts: [Int] { buckets.map { $0.value.load(ordering: .relaxed) } }
  public var count: Int { counts.reduce(0, +) }
  public var sum: Double { Double(bitPattern: total.load(ordering: .relaxed)) }
}
