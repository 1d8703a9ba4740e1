import Synchronization

/// How many tests work with servers at one moment.
///
/// The runner starts all tests at once. On a machine with two cores a test's time-outs would then measure how many
/// others there are; with turns they measure the program.
final class Turns: Sendable {
  /// For tests with a database.
  static let databases = Turns(8)
  /// For tests that start the program: it and its servers want most of a core for themselves.
  static let programs = Turns(4)
  /// For tests that start it as six processes.
  static let apart = Turns(1)

  private struct Line {
    var free: Int
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let line: Mutex<Line>
  @TaskLocal private static var taken: Set<ObjectIdentifier> = []

  private init(_ count: Int) { line = Mutex(Line(free: count)) }

  /// Waits for a turn and runs `body` in it. Inside a turn (a test's second database, say) there is nothing to wait for.
  func take<Value>(_ body: () async throws -> Value) async rethrows -> Value {
    guard !Self.taken.contains(ObjectIdentifier(self)) else { return try await body() }
    await Work.pause {
      await withCheckedContinuation { continuation in
        let isFree = line.withLock { line in
          guard line.free > 0 else {
            line.waiting.append(continuation)
            return false
          }
          line.free -= 1
          return true
        }
        if isFree { continuation.resume() }
      }
    }
    defer {
      // Who has waited longest takes over the turn.
      let next: CheckedContinuation<Void, Never>? = line.withLock { line in
        if !line.waiting.isEmpty { return line.waiting.removeFirst() }
        line.free += 1
        return nil
      }
      next?.resume()
    }
    return try await Self.$taken.withValue(Self.taken.union([ObjectIdentifier(self)])) { try await body() }
  }
}
