public import S3
public import Time

/// Finds contents that no event names: of uploads whose command was refused, or that a crash cut off.
///
/// An object is judged by the stream in its key alone. A bucket must belong to one database: the objects
/// of another one have no events here.
public struct ContentSweep: Sendable {
  public struct Report: Sendable {
    /// Objects that were looked at.
    public internal(set) var objects = 0
    /// Keys that no event names.
    public internal(set) var orphans: [String] = []
    /// Uploads that were begun and never completed.
    public internal(set) var uploads = 0

    public init() {}

    public mutating func add(_ other: Report) {
      objects += other.objects
      orphans += other.orphans
      uploads += other.uploads
    }
  }

  /// Younger objects are left alone: their command may be under way.
  public static let grace: Int64 = 24 * 3_600

  private let objects: S3Client
  private let contents: [StoredContents]

  public init(_ objects: S3Client, of contents: [StoredContents]) {
    (self.objects, self.contents) = (objects, contents)
  }

  /// - Parameters:
  ///   - day: Content that was uploaded on this day (UTC), such as `2026-11-24`.
  ///   - now: Decides what is old enough.
  ///   - deletes: Deletes what is found. Else it is only reported.
  public func run(day: String, now: Timestamp = .now(), deletes: Bool) async throws -> Report {
    var report = Report()
    let limit = Timestamp(microseconds: now.microseconds - Self.grace * 1_000_000)
    for contents in contents { report.add(try await run(contents, day: day, before: limit, deletes: deletes)) }
    return report
  }

  private func run(
    _ contents: StoredContents, day: String, before limit: Timestamp, deletes: Bool
  ) async throws -> Report {
    var report = Report()
    let prefix = "\(contents.prefix)/\(day)/"
    var after: String?
    while case let page = try await objects.list(prefix, after: after), let last = page.last {
      after = last.key
      report.objects += page.count
      // The keys of one stream follow each other.
      let old = page.filter { $0.at < limit }
      for group in old.chunked(by: { StoredContents.id(in: $0.key) == StoredContents.id(in: $1.key) }) {
        let named = try await contents.named(StoredContents.id(in: group[0].key))
        for entry in group where !named.contains(entry.key) {
          report.orphans.append(entry.key)
          if deletes { try await objects.delete(entry.key) }
        }
      }
    }
    if deletes { report.uploads = try await objects.abortUploads(prefix, before: limit) }
    return report
  }
}

extension Array {
  /// Neighbours that belong together, in groups.
  fileprivate func chunked(by belong: (Element, Element) -> Bool) -> [[Element]] {
    var groups: [[Element]] = []
    for element in self {
      if let last = groups.last?.last, belong(last, element) {
        groups[groups.count - 1].append(element)
      } else {
        groups.append([element])
      }
    }
    return groups
  }
}
