public import EventStore

/// One step of a document's history: an event and what it made of the document.
public struct DocumentStep: Sendable {
  public let recorded: RecordedEvent
  public let event: DocumentEvent
  public let before: Document?
  public let after: Document?
}

extension DocumentDecider {
  /// Replays recorded events, oldest first.
  public static func replay(
    _ events: [RecordedEvent], from state: Document? = initial
  ) throws(EventReadError) -> [DocumentStep] {
    var state = state
    var steps: [DocumentStep] = []
    steps.reserveCapacity(events.count)
    for recorded in events {
      let event = try DocumentEvent(recorded)
      let before = state
      state = evolve(state, event)
      steps.append(DocumentStep(recorded: recorded, event: event, before: before, after: state))
    }
    return steps
  }

  /// The state after recorded events.
  public static func fold(_ events: [RecordedEvent]) throws(EventReadError) -> Document? {
    var state = initial
    for recorded in events { state = evolve(state, try DocumentEvent(recorded)) }
    return state
  }

  /// Events as the store takes them, each with the row before and after it.
  public static func newEvents(_ events: [DocumentEvent], from state: Document?) -> [NewEvent] {
    var state = state
    return events.map { event in
      let before = state?.visibleImage
      state = evolve(state, event)
      return NewEvent(
        type: event.type, schemaVersion: DocumentEvent.schemaVersion, data: event.data,
        change: RowChange(before: before, after: state?.visibleImage))
    }
  }
}

extension Document {
  /// nil once it is deleted: others see no row then.
  var visibleImage: [UInt8]? { isDeleted ? nil : rowImage }
}
