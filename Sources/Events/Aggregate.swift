public import JSON

/// A thing whose state is made of its events, as pure functions: no clock, no network, no randomness. Whatever those
/// have to say arrives in the command.
///
/// A value of the conforming type is the state after at least one event. `AggregateStore` runs it: load, decide, append,
/// retry, history.
public protocol Aggregate: Sendable {
  associatedtype Command: Sendable
  associatedtype Event: DomainEvent
  associatedtype Refusal: Events.Refusal

  /// The category of its streams, for example `document`. It has no hyphen.
  static var category: StaticString { get }

  /// The events that follow from a command; none if nothing changes.
  ///
  /// - Parameter state: nil if the stream has no events.
  static func decide(_ command: Command, _ state: Self?) throws(Refusal) -> [Event]

  /// The state after an event. It refuses nothing: a recorded event has happened.
  ///
  /// - Parameter version: The event's, in its stream.
  static func evolve(_ state: Self?, _ event: Event, at version: StreamVersion) -> Self?

  /// The row image that others see, as JSON text; nil once the aggregate is deleted.
  var publishedRow: [UInt8]? { get }
}

/// An event of an aggregate, in the form in which the log keeps it.
///
/// A stored form never changes. A member that is added, and may be missing, keeps the schema version: older programs ignore
/// it. Any other change is a new schema version of the type, with an upcaster from the one before.
public protocol DomainEvent: Sendable {
  /// The types of the aggregate's events, each with its present schema version.
  static var schemaVersions: [String: Int32] { get }
  /// Steps from older schema versions, each to the next one.
  static var upcasters: [Upcaster] { get }
  /// The members of `data` that hold personal data, by type.
  static var personalFields: [String: [String]] { get }

  /// Members of `data`, by event type, that nobody is shown: hashes of passwords.
  static var secretFields: [String: [String]] { get }

  /// Unique among the types of its aggregate, for example `DocumentCreated`.
  var type: String { get }
  /// A JSON object, in the present schema version of the type.
  var data: [UInt8] { get }

  /// Reads the form of the type's present schema version. Unknown members are ignored.
  init(type: String, fields: inout JSONFields) throws(JSONError)
}

extension DomainEvent {
  public static var upcasters: [Upcaster] { [] }
  public static var personalFields: [String: [String]] { [:] }
  public static var secretFields: [String: [String]] { [:] }
}

/// Brings the data of an event from one schema version of its type to the next.
public struct Upcaster: Sendable {
  public let type: String
  public let version: Int32
  public let upcast: @Sendable (inout JSONObject) throws(JSONError) -> Void

  /// - Parameter version: The version that it reads. It makes the next one.
  public init(
    _ type: String, from version: Int32, _ upcast: @escaping @Sendable (inout JSONObject) throws(JSONError) -> Void
  ) {
    (self.type, self.version, self.upcast) = (type, version, upcast)
  }
}

extension Aggregate {
  public static func stream(_ id: String) -> StreamID { StreamID(category: category, id: id) }

  /// Events as the store takes them, each with the row image before and after it; and the state after all of them.
  ///
  /// - Parameter version: The stream's before the events.
  public static func newEvents(
    _ events: [Event], from state: Self?, at version: StreamVersion
  ) -> (events: [NewEvent], state: Self?) {
    var (state, version) = (state, version)
    let new = events.map { event in
      let before = state?.publishedRow
      version = version.next
      state = evolve(state, event, at: version)
      let type = event.type
      return NewEvent(
        type: type, schemaVersion: Event.schemaVersions[type] ?? 1, data: event.data,
        change: RowChange(before: before, after: state?.publishedRow))
    }
    return (new, state)
  }

  /// Reads a recorded event, of any schema version.
  public static func event(_ body: EventBody, of stream: StreamID) throws(EventReadError) -> Event {
    do {
      return try event(body.type, body.schemaVersion, JSONValue(parsing: body.data))
    } catch { throw EventReadError(event: body.id, stream: stream, reason: "\(error)") }
  }

  private static func event(_ type: String, _ version: Int32, _ data: JSONValue) throws(JSONError) -> Event {
    guard let present = Event.schemaVersions[type] else {
      throw JSONError(.invalid(type, remedy: "no event of \(category) has this type"))
    }
    var data = data
    if version != present {
      guard version < present, version > 0, case .object(var object) = data else {
        throw JSONError(.invalid("\(type) \(version)", remedy: "this annals knows schema versions up to \(present)"))
      }
      for older in version..<present {
        let step = Event.upcasters.first { $0.type == type && $0.version == older }
        guard let step else { throw JSONError(.invalid("\(type) \(older)", remedy: "this version has no upcaster")) }
        try step.upcast(&object)
      }
      data = .object(object)
    }
    var fields = try JSONFields(data)
    return try Event(type: type, fields: &fields)
  }
}
