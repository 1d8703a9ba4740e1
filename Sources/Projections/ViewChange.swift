public import Events
public import JSON
public import Kafka

/// A message of a change topic, as views take it.
public struct ViewChange: Sendable {
  /// The aggregate's id.
  public let id: String
  /// The stream's version with this change: what every write is fenced by.
  public let version: StreamVersion
  /// The row after the change; nil once it is deleted.
  public let after: JSONValue?

  public init(id: String, version: StreamVersion, after: JSONValue?) {
    (self.id, self.version, self.after) = (id, version, after)
  }

  /// Reads an envelope; nil for a tombstone, which says nothing that the deletion before it did not.
  public init?(_ message: KafkaMessage) throws(ViewChangeError) {
    guard let value = message.value else { return nil }
    func fail(_ reason: String) -> ViewChangeError {
      ViewChangeError(source: message.source, offset: message.offset, reason: reason)
    }
    do {
      guard let id = try JSONValue(parsing: message.key ?? [])["id"]?.string else { throw fail("the key has no id") }
      let envelope = try JSONValue(parsing: value)
      guard let operation = envelope["op"]?.string else { throw fail("the envelope has no op") }
      let text = message.header("stream_version").map { String(decoding: $0, as: UTF8.self) }
      guard let text, let version = Int64(text) else { throw fail("there is no header stream_version") }
      self.id = id
      self.version = StreamVersion(version)
      after = operation == "d" ? nil : envelope["after"]
    } catch let error as ViewChangeError { throw error } catch { throw fail("\(error)") }
  }

  /// The newest change of each aggregate, in the order in which they came: what is older would be overwritten at once.
  static func newest(of changes: [ViewChange]) -> [ViewChange] {
    var latest: [String: StreamVersion] = [:]
    for change in changes where change.version > latest[change.id] ?? .none { latest[change.id] = change.version }
    var taken: Set<String> = []
    return changes.filter { latest[$0.id] == $0.version && taken.insert($0.id).inserted }
  }
}

/// A message that is no change of a row.
public struct ViewChangeError: Error, Equatable, Sendable, CustomStringConvertible {
  public let source: TopicPartition
  public let offset: Int64
  public let reason: String
  public var description: String {
    "\(source.topic), partition \(source.partition), offset \(offset) is no change event: \(reason)"
  }
}
