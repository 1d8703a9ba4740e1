/// One thing that a process depends on, and how to ask for it.
public struct Check: Sendable {
  public let name: String
  /// Without it the process is not ready to take requests.
  public let isRequired: Bool
  /// The result's text may be shown to anyone: it has no words of a server, no address and no query.
  public let isPublic: Bool
  private let body: @Sendable () async throws -> String

  /// - Parameter body: Returns what it found, in words. An error is a problem; its text names the remedy.
  public init(
    _ name: String, isRequired: Bool = false, isPublic: Bool = false,
    _ body: @escaping @Sendable () async throws -> String
  ) {
    (self.name, self.isRequired, self.isPublic, self.body) = (name, isRequired, isPublic, body)
  }

  public func run() async -> CheckResult {
    do { return CheckResult(name: name, isOK: true, text: try await body()) } catch {
      return CheckResult(name: name, isOK: false, text: "\(error)")
    }
  }

  /// Runs several checks side by side, and returns their results in the order of the checks.
  public static func run(_ checks: [Check]) async -> [CheckResult] {
    await withTaskGroup(of: (Int, CheckResult).self) { group in
      for (index, check) in checks.enumerated() { group.addTask { (index, await check.run()) } }
      var results: [(Int, CheckResult)] = []
      for await result in group { results.append(result) }
      return results.sorted { $0.0 < $1.0 }.map(\.1)
    }
  }
}

/// The result of a check.
public struct CheckResult: Sendable, CustomStringConvertible {
  public let name: String
  public let isOK: Bool
  /// The state that was found, or the problem and its remedy.
  public let text: String

  /// The result for anyone to see: a server's own words stay in the log and in `annals doctor`.
  var withoutText: CheckResult {
    CheckResult(name: name, isOK: isOK, text: isOK ? "works" : "fails; the log and `annals doctor` say why")
  }

  public var description: String { "\(isOK ? "ok     " : "PROBLEM")  \(name): \(text)" }
}

/// A problem that a check found, in words that name the remedy.
public struct CheckProblem: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
