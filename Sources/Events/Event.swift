public import Identifiers
public import JSON
public import Time

/// An event to append.
public struct NewEvent: Sendable {
  /// Made once, here. It stays the same in every redelivery, header and view (G5).
  public let id: UUID
  public let type: String
  public let schemaVersion: Int32
  /// A JSON object. It is kept byte for byte.
  public let data: [UInt8]
  /// The row change that the relay publishes; nil: the event is not published.
  public let change: RowChange?

  public init(
    id: UUID = .version7(), type: String, schemaVersion: Int32 = 1, data: [UInt8], change: RowChange?
  ) {
    (self.id, self.type, self.schemaVersion, self.data, self.change) = (id, type, schemaVersion, data, change)
  }
}

/// An event as it was read from the log.
public struct RecordedEvent: Sendable {
  /// nil if the event was read from its stream: it may not have an index yet.
  public let index: LogIndex?
  public let stream: StreamID
  public let version: StreamVersion
  public let id: UUID
  public let type: String
  public let schemaVersion: Int32
  /// A JSON object, byte for byte as it was written.
  public let data: [UInt8]
  /// A JSON object, byte for byte as it was written.
  public let storedMetadata: [UInt8]
  public let recordedAt: Time.Timestamp

  public init(
    index: LogIndex?, stream: StreamID, version: StreamVersion, id: UUID, type: String, schemaVersion: Int32,
    data: [UInt8], storedMetadata: [UInt8], recordedAt: Time.Timestamp
  ) {
    (self.index, self.stream, self.version, self.id) = (index, stream, version, id)
    (self.type, self.schemaVersion, self.data) = (type, schemaVersion, data)
    (self.storedMetadata, self.recordedAt) = (storedMetadata, recordedAt)
  }

  /// Read from its stored form at each call.
  public var metadata: EventMetadata {
    get throws(EventReadError) {
      do { return try EventMetadata(json: storedMetadata) } catch {
        throw EventReadError(event: id, stream: stream, reason: "metadata: \(error)")
      }
    }
  }
}

/// Who caused an event, and in which chain of requests and events.
public struct EventMetadata: Equatable, Sendable {
  public var actor: String
  public var correlationID: String?
  public var causationID: String?
  /// W3C Trace Context.
  public var traceparent: String?

  public init(actor: String, correlationID: String? = nil, causationID: String? = nil, traceparent: String? = nil) {
    (self.actor, self.correlationID) = (actor, correlationID)
    (self.causationID, self.traceparent) = (causationID, traceparent)
  }

  /// The stored form.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 128)
    writer.object {
      $0.member("actor", actor)
      if let correlationID { $0.member("correlation_id", correlationID) }
      if let causationID { $0.member("causation_id", causationID) }
      if let traceparent { $0.member("traceparent", traceparent) }
    }
    return writer.bytes
  }

  /// Reads the stored form. Unknown members are ignored.
  public init(json: [UInt8]) throws(JSONError) {
    var fields = try JSONFields(JSONValue(parsing: json))
    actor = try fields.required("actor")
    correlationID = try fields.optional("correlation_id")
    causationID = try fields.optional("causation_id")
    traceparent = try fields.optional("traceparent")
  }
}
