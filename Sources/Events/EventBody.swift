public import Identifiers
public import Time

/// The part of a recorded event that its aggregate's state depends on.
public struct EventBody: Sendable {
  public let version: StreamVersion
  public let id: UUID
  public let type: String
  public let schemaVersion: Int32
  /// A JSON text.
  public let data: [UInt8]
  public let recordedAt: Time.Timestamp

  public init(
    version: StreamVersion, id: UUID, type: String, schemaVersion: Int32, data: [UInt8], recordedAt: Time.Timestamp
  ) {
    (self.version, self.id, self.type, self.schemaVersion) = (version, id, type, schemaVersion)
    (self.data, self.recordedAt) = (data, recordedAt)
  }
}

extension RecordedEvent {
  public var body: EventBody {
    EventBody(
      version: version, id: id, type: type, schemaVersion: schemaVersion, data: data, recordedAt: recordedAt)
  }
}
