/// A regular expression that a name matches as a whole, whatever its case.
struct NamePattern {
  private let regex: Regex<AnyRegexOutput>

  init(_ pattern: String) throws { regex = try Regex(pattern).ignoresCase() }

  func matches(_ name: String) -> Bool {
    do { return try regex.wholeMatch(in: name) != nil } catch { return false }
  }
}

/// Which names count, by lists of patterns.
struct NameMatcher {
  private let includes: [NamePattern]
  private let excludes: [NamePattern]

  init(_ filter: ConnectorOptions.NameFilter) throws {
    includes = try filter.includes.map { try NamePattern($0) }
    excludes = try filter.excludes.map { try NamePattern($0) }
  }

  func contains(_ name: String) -> Bool {
    (includes.isEmpty || includes.contains { $0.matches(name) }) && !excludes.contains { $0.matches(name) }
  }
}
