public import Events
public import JSON
public import Kafka

/// A change of one aggregate, read from a change topic.
public struct ViewChange: Sendable {
  /// The aggregate's id.
  public let id: String
  /// The stream's version after this change. It fences every write to a view.
  public let version: StreamVersion
  /// The row after the change; nil: the row was deleted.
  public let after: JSONValue?

  public init(id: String, version: StreamVersion, after: JSONValue?) {
    (self.id, self.version, self.after) = (id, version, after)
  }

  /// Parses a change event; nil for a tombstone, because the deletion event before it has the same meaning.
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
      guard let text, let version = Int64(text) else { throw fail("the header stream_version is missing or invalid") }
      self.id = id
      self.version = StreamVersion(version)
      after = operation == "d" ? nil : envelope["after"]
    } catch let error as ViewChangeError { throw error } catch { throw fail("\(error)") }
  }

  /// The newest change of each aggregate, in order of arrival. Older changes would be overwritten at once.
  static func newest(of changes: [ViewChange]) -> [ViewChange] {
    var latest: [String: StreamVersion] = [:]
    for change in changes where change.version > latest[change.id] ?? .none { latest[change.id] = change.version }
    var taken: Set<String> = []
    return changes.filter { latest[$0.id] == $0.version && taken.insert($0.id).inserted }
  }
}

/// A message that is not a valid change event.
public struct ViewChangeError: Error, Equatable, Sendable, CustomStringConvertible {
  public let source: TopicPartition
  public let offset: Int64
  public let reason: String
  public var description: String {
    "\(source.topic), partition \(source.partition), offset \(offset) is not a change event: \(reason)"
  }
}
