import Support
import Testing

@Suite("The limit of a test's work") struct WorkLimitTests {
  /// True if the limit ended it.
  private func isEnded(after limit: Duration, _ work: @escaping @Sendable () async throws -> Void) async throws -> Bool
  {
    try await end(after: limit, work) != nil
  }

  /// The words of the limit that ended it; nil: none did.
  private func end(after limit: Duration, _ work: @escaping @Sendable () async throws -> Void) async throws -> String? {
    let test = try #require(Test.current)
    nonisolated(unsafe) var end: String?
    try await withKnownIssue(isIntermittent: true) {
      try await WorkLimit(limit: limit).provideScope(for: test, testCase: nil) { try await work() }
    } matching: { issue in
      end = "\(issue.comments)"
      return true
    }
    return end
  }

  @Test("ends what works longer, and does not count the wait for a turn") func limits() async throws {
    #expect(try await isEnded(after: .milliseconds(50)) { try await Task.sleep(for: .seconds(3_600)) })
    // All the other tests begin at the same moment: a shorter limit would be theirs.
    #expect(
      try await !isEnded(after: .seconds(6)) { await Work.pause { try? await Task.sleep(for: .milliseconds(6_500)) } })
  }

  @Test("tells the condition that was waited for") func condition() async throws {
    let end = try await end(after: .seconds(6)) {
      try await withReactor { reactor in try await eventually("the cows come home", on: reactor) { false } }
    }
    #expect(end?.contains("the cows come home") == true, "\(end ?? "not ended")")
  }
}
