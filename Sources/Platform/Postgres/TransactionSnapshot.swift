/// A server snapshot (PostgreSQL documentation, “Transaction ID and Snapshot Information Functions”). It sees
/// transactions below `xmin`, and those below `xmax` that were not running.
public struct TransactionSnapshot: Hashable, Sendable, CustomStringConvertible {
  public let xmin: UInt64
  public let xmax: UInt64
  private let running: Set<UInt64>

  /// `xmin:xmax:running,running`.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3, let xmin = UInt64(parts[0]), let xmax = UInt64(parts[1]), xmin <= xmax else { return nil }
    var running: Set<UInt64> = []
    for part in parts[2].split(separator: ",") {
      guard let number = UInt64(part) else { return nil }
      running.insert(number)
    }
    (self.xmin, self.xmax, self.running) = (xmin, xmax, running)
  }

  public func sees(_ transaction: UInt64) -> Bool {
    transaction < xmin || (transaction < xmax && !running.contains(transaction))
  }

  /// Same as `sees(_:)`, for a 32-bit id without its epoch: the full id nearest to `xmax` is meant.
  public func sees(short transaction: UInt32) -> Bool {
    let distance = Int32(truncatingIfNeeded: Int64(transaction) - Int64(UInt32(truncatingIfNeeded: xmax)))
    return sees(UInt64(bitPattern: Int64(bitPattern: xmax) &+ Int64(distance)))
  }

  public var description: String { "\(xmin):\(xmax):\(running.sorted().map { "\($0)" }.joined(separator: ","))" }
}
