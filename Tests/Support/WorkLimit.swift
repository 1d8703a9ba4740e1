import Synchronization
public import Testing

/// Ends a test that works longer than it should.
///
/// The runner's own limit counts from the test's start, and most of what passes there is the wait for a turn (`Turns`):
/// it would measure how many other tests there are, and how fast the machine is.
public struct WorkLimit: TestTrait, SuiteTrait, TestScoping {
  let limit: Duration

  public init(limit: Duration) { self.limit = limit }

  public var isRecursive: Bool { true }

  public func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
  ) async throws {
    let work = Work()
    try await withoutActuallyEscaping(function) { function in
      try await withThrowingTaskGroup { group in
        group.addTask { [limit] in
          while true {
            let left = limit - work.spent
            guard left > .zero else { break }
            try await Task.sleep(for: left)
          }
          let waits = work.waitsFor.map { "; it waited for this: \($0)" } ?? ""
          Issue.record("It worked for more than \(limit), its waits for a turn not counted\(waits)")
        }
        // This task is the test's: a limit that is passed cancels it.
        group.addTask { try await Work.$current.withValue(work) { try await function() } }
        defer { group.cancelAll() }
        try await group.next()
      }
    }
  }
}

extension Trait where Self == WorkLimit {
  /// Waits for a turn are not counted.
  public static func workLimit(minutes: Int) -> Self { WorkLimit(limit: .seconds(minutes * 60)) }
}

/// How long a test has worked.
package final class Work: Sendable {
  @TaskLocal static var current: Work?

  private struct Times {
    var start = ContinuousClock.now
    var waited = Duration.zero
    var waiting: ContinuousClock.Instant?
    /// The condition that the test waits for.
    var condition: String?
  }
  private let times = Mutex(Times())

  var spent: Duration {
    times.withLock { ($0.waiting ?? .now) - $0.start - $0.waited }
  }

  var waitsFor: String? { times.withLock { $0.condition } }

  /// Notes the condition that the test waits for; nil: it waits no more.
  static func note(condition: String?) { current?.times.withLock { $0.condition = condition } }

  /// Waits for a turn.
  package static func pause(_ wait: () async -> Void) async {
    guard let current else { return await wait() }
    current.times.withLock { $0.waiting = .now }
    await wait()
    current.times.withLock { times in
      if let since = times.waiting { times.waited += .now - since }
      times.waiting = nil
    }
  }
}
