import Support
import Testing

@Suite("The limit of a test's work") struct WorkLimitTests {
  /// True if the limit ended it.
  private func isEnded(after limit: Duration, _ work: @escaping @Sendable () async throws -> Void) async throws -> Bool
  {
    let test = try #require(Test.current)
    nonisolated(unsafe) var isEnded = false
    try await withKnownIssue(isIntermittent: true) {
      try await WorkLimit(limit: limit).provideScope(for: test, testCase: nil) { try await work() }
    } matching: { _ in
      isEnded = true
      return true
    }
    return isEnded
  }

  @Test("ends what works longer, and does not count the wait for a turn") func limits() async throws {
    #expect(try await isEnded(after: .milliseconds(50)) { try await Task.sleep(for: .seconds(3_600)) })
    // All the other tests begin at the same moment: a shorter limit would be theirs.
    #expect(
      try await !isEnded(after: .seconds(6)) { await Work.pause { try? await Task.sleep(for: .milliseconds(6_500)) } })
  }
}
