import Domain
public import EventStore
import Events
public import S3
public import Time

/// Finds contents that no event names: of uploads whose command was refused, or that a crash cut off.
///
/// An object is judged by the stream of the document in its key alone. A bucket must belong to one database: the objects
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
  private let documents: AggregateStore<Document>

  public init(_ objects: S3Client, _ store: EventStore) { (self.objects, documents) = (objects, AggregateStore(store)) }

  /// - Parameters:
  ///   - day: Content that was uploaded on this day (UTC), such as `2026-11-24`.
  ///   - now: Decides what is old enough.
  ///   - deletes: Deletes what is found. Else it is only reported.
  public func run(day: String, now: Timestamp = .now(), deletes: Bool) async throws -> Report {
    var report = Report()
    let limit = Timestamp(microseconds: now.microseconds - Self.grace * 1_000_000)
    let prefix = "\(ContentStore.prefix)\(day)/"
    var after: String?
    while case let page = try await objects.list(prefix, after: after), let last = page.last {
      after = last.key
      report.objects += page.count
      // The keys of one document follow each other.
      for group in page.filter({ $0.at < limit }).chunked(by: { Self.document($0.key) == Self.document($1.key) }) {
        let named = try await keys(of: Self.document(group[0].key))
        for entry in group where !named.contains(entry.key) {
          report.orphans.append(entry.key)
          if deletes { try await objects.delete(entry.key) }
        }
      }
    }
    if deletes { report.uploads = try await objects.abortUploads(prefix, before: limit) }
    return report
  }

  /// `documents/2026-11-24/<document>/<upload>`.
  private static func document(_ key: String) -> String {
    let parts = key.split(separator: "/")
    return parts.count == 4 ? String(parts[2]) : ""
  }

  /// Every key that the events of a document name, now or earlier: its history stays readable.
  private func keys(of document: String) async throws -> Set<String> {
    var keys: Set<String> = []
    for try await page in documents.history(of: document) {
      for step in page { if let key = step.after?.content?.key { keys.insert(key) } }
    }
    return keys
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
