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
  static func evolve(_ state: Self?, _ event: Event) -> Self?

  /// The row image that others see, as JSON text; nil once the aggregate is deleted.
  var publishedRow: [UInt8]? { get }
}

/// An event of an aggregate, in the form in which the log keeps it.
///
/// A stored form never changes: a new `schemaVersion` is added, and the old form is still read.
public protocol DomainEvent: Sendable {
  /// Unique among the types of its aggregate, for example `DocumentCreated`.
  var type: String { get }
  var schemaVersion: Int32 { get }
  /// A JSON object.
  var data: [UInt8] { get }

  /// Reads a stored form.
  init(type: String, schemaVersion: Int32, data: [UInt8]) throws(JSONError)
}

extension Aggregate {
  public static func stream(_ id: String) -> StreamID { StreamID(category: category, id: id) }

  /// The state after several events.
  public static func evolve(_ state: Self?, _ events: [Event]) -> Self? { events.reduce(state) { evolve($0, $1) } }

  /// Events as the store takes them, each with the row image before and after it.
  public static func newEvents(_ events: [Event], from state: Self?) -> [NewEvent] {
    var state = state
    return events.map { event in
      let before = state?.publishedRow
      state = evolve(state, event)
      return NewEvent(
        type: event.type, schemaVersion: event.schemaVersion, data: event.data,
        change: RowChange(before: before, after: state?.publishedRow))
    }
  }

  /// Reads a recorded event.
  public static func event(_ body: EventBody, of stream: StreamID) throws(EventReadError) -> Event {
    do {
      return try Event(type: body.type, schemaVersion: body.schemaVersion, data: body.data)
    } catch { throw EventReadError(event: body.id, stream: stream, reason: "\(error)") }
  }
}
