/// A regular expression that must match a whole name, ignoring case.
struct NamePattern {
  private let regex: Regex<AnyRegexOutput>

  init(_ pattern: String) throws { regex = try Regex(pattern).ignoresCase() }

  func matches(_ name: String) -> Bool {
    do { return try regex.wholeMatch(in: name) != nil } catch { return false }
  }
}

/// Selects tables. Annals' own schema is not among them unless an include list names it.
struct TableMatcher {
  private let schemas: NameMatcher
  private let tables: NameMatcher
  private let takesOwn: Bool

  init(_ options: ConnectorOptions) throws {
    schemas = try NameMatcher(options.schemas)
    tables = try NameMatcher(options.tables)
    takesOwn = (options.schemas.includes + options.tables.includes).contains { $0.lowercased().hasPrefix("annals") }
  }

  func contains(schema: String, table: String) -> Bool {
    (takesOwn || schema != "annals") && schemas.contains(schema) && tables.contains("\(schema).\(table)")
  }
}

/// Selects names by include and exclude lists of patterns.
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
