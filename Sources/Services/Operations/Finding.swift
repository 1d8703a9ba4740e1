/// What an examination found of one thing.
public struct Finding: Sendable, CustomStringConvertible {
  public let subject: String
  public let isWell: Bool
  /// What is there, or what is wrong and what to do.
  public let text: String

  public init(_ subject: String, isWell: Bool, _ text: String) {
    (self.subject, self.isWell, self.text) = (subject, isWell, text)
  }

  /// Asks; an error is a problem in its own words, which name the remedy.
  public static func about(_ subject: String, _ body: () async throws -> String) async -> Finding {
    do { return Finding(subject, isWell: true, try await body()) } catch {
      return Finding(subject, isWell: false, "\(error)")
    }
  }

  public var description: String { "\(isWell ? "ok     " : "PROBLEM")  \(subject): \(text)" }
}
