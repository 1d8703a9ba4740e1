import Crypto
import EventStore
import Events
import Identifiers
import JSON

/// A place in a stream of events, as clients carry it: a number, and the event that was there. If another event is there now, the
/// log has lost its end or is another one.
struct StreamCursor: InputValue, Equatable {
  /// A log index, or a version of the document.
  let number: Int64
  let event: UUID

  static let schema = JSONSchema.string(maxLength: 80)

  init(_ number: Int64, _ event: UUID) { (self.number, self.event) = (number, event) }

  var text: String { "\(number)-\(event)" }

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    let parts = text.split(separator: "-", maxSplits: 1)
    guard parts.count == 2, let number = Int64(parts[0]), number >= 0, let event = UUID(String(parts[1])) else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "use the id of an event as the stream gave it"))
    }
    self.init(number, event)
  }
}

extension EventStore {
  /// The event that made a version of a stream; nil: there is none.
  func event(of stream: StreamID, at version: StreamVersion) async throws(ReadError) -> RecordedEvent? {
    let event = try await read(stream, after: StreamVersion(version.value - 1), limit: 1).events.first
    return event?.version == version ? event : nil
  }
}
