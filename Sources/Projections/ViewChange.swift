public import Events
import Identifiers
public import JSON
public import Kafka
public import Time

/// A change of one aggregate: from a change topic, or folded from the log.
public struct ViewChange: Sendable {
  public let stream: StreamID
  /// The stream's version after this change. It fences every write to a view.
  public let version: StreamVersion
  /// The row after the change; nil: there is none any more.
  public let after: JSONValue?
  /// What happened; nil if the change was folded from several events.
  public let event: Cause?

  /// The event of a change.
  public struct Cause: Equatable, Sendable {
    public let id: String
    public let type: String
    public let actor: String
    public let recordedAt: Time.Timestamp

    public init(id: String, type: String, actor: String, recordedAt: Time.Timestamp) {
      (self.id, self.type, self.actor, self.recordedAt) = (id, type, actor, recordedAt)
    }
  }

  /// The aggregate's id.
  public var id: String { stream.id }

  public init(stream: StreamID, version: StreamVersion, after: JSONValue?, event: Cause? = nil) {
    (self.stream, self.version, self.after, self.event) = (stream, version, after, event)
  }

  /// Parses a change event; nil for a tombstone, because the deletion event before it has the same meaning.
  ///
  /// - Parameter category: The category of the topic's streams.
  public init?(_ message: KafkaMessage, of category: String) throws(ViewChangeError) {
    guard let value = message.value else { return nil }
    func fail(_ reason: String) -> ViewChangeError {
      ViewChangeError(source: message.source, offset: message.offset, reason: reason)
    }
    func header(_ name: String) -> String? { message.header(name).map { String(decoding: $0, as: UTF8.self) } }
    do {
      guard let id = Self.id(inKey: message.key ?? []), let stream = StreamID("\(category)-\(id)") else {
        throw fail("the key has no id")
      }
      let envelope = try JSONValue(parsing: value)
      guard let operation = envelope["op"]?.string else { throw fail("the envelope has no op") }
      guard let text = header("stream_version"), let version = Int64(text), version > 0 else {
        throw fail("the header stream_version is missing or invalid")
      }
      self.stream = stream
      self.version = StreamVersion(version)
      switch (operation, envelope["after"]) {
      case ("d", _): after = nil
      case (_, let row?) where row.object != nil: after = row
      default: throw fail("op \(operation) has no row in after")
      }
      event = header("event_id").flatMap { id in
        header("event_type").map { type in
          Cause(
            id: id, type: type, actor: header("actor") ?? "",
            recordedAt: Time.Timestamp(microseconds: header("recorded_at_us").flatMap { Int64($0) } ?? 0))
        }
      }
    } catch let error as ViewChangeError { throw error } catch { throw fail("\(error)") }
  }

  static func id(inKey key: [UInt8]) -> String? {
    do { return try JSONValue(parsing: key)["id"]?.string } catch { return nil }
  }

  /// The newest change of each stream, in order of arrival. Older changes would be overwritten at once.
  static func newest(of changes: [ViewChange]) -> [ViewChange] {
    var latest: [StreamID: StreamVersion] = [:]
    for change in changes where change.version > latest[change.stream] ?? .none {
      latest[change.stream] = change.version
    }
    var taken: Set<StreamID> = []
    return changes.filter { latest[$0.stream] == $0.version && taken.insert($0.stream).inserted }
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
