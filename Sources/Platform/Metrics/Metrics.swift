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

/// Durations, counted in buckets of seconds whose bounds double from half a millisecond to 16 s.
public final class Timer: Sendable {
  static let bounds: [Double] = (0..<16).map { 0.0005 * Double(1 << $0) }
  private let buckets: [Bucket]
  private let nanoseconds = Atomic<Int>(0)

  final class Bucket: Sendable { let value = Atomic<Int>(0) }

  public init() { buckets = (0...Self.bounds.count).map { _ in Bucket() } }

  public func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    let total = Double(seconds) + Double(attoseconds) / 1e18
    let index = Self.bounds.firstIndex { total <= $0 } ?? Self.bounds.count
    buckets[index].value.add(1, ordering: .relaxed)
    nanoseconds.add(Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000), ordering: .relaxed)
  }

  /// Counts per bucket, the last one without a bound.
  var counts: [Int] { buckets.map { $0.value.load(ordering: .relaxed) } }
  public var count: Int { counts.reduce(0, +) }
  public var sum: Double { Double(nanoseconds.load(ordering: .relaxed)) / 1e9 }
}
