import Time

/// Objects of a feature in the object store, each below its day and its stream: `<prefix>/2026-11-24/<id>/<name>`.
public struct StoredContents: Sendable {
  /// The first part of their keys, such as `documents`.
  public let prefix: String
  /// Every key that the events of a stream name, now or earlier: history stays readable.
  public let named: @Sendable (_ id: String) async throws -> Set<String>

  public init(prefix: String, named: @escaping @Sendable (_ id: String) async throws -> Set<String>) {
    (self.prefix, self.named) = (prefix, named)
  }

  /// The key of a new object of today.
  static func key(_ prefix: String, of id: String, name: String) -> String {
    "\(prefix)/\(Timestamp.now().description.prefix(10))/\(id)/\(name)"
  }

  /// The stream's id in a key; empty if the key has another form.
  static func id(in key: String) -> String {
    let parts = key.split(separator: "/")
    return parts.count == 4 ? String(parts[2]) : ""
  }
}
