public import Events
public import JSON

/// Turns personal data into the form in which it is stored, and back: encryption under a key for each person, for example.
public protocol PersonalDataCoder: Sendable {
  /// - Parameter stream: Where the value is stored.
  func encode(_ value: JSONValue, in stream: StreamID) async throws -> JSONValue
  func decode(_ value: JSONValue, in stream: StreamID) async throws -> JSONValue
}

/// The members of events that hold personal data, and what becomes of them. The actor of an event's metadata is always one.
public struct PersonalFields: Sendable {
  private let coder: (any PersonalDataCoder)?
  private let names: [String: [String]]

  /// Everything is stored as it is.
  public static let open = PersonalFields(coder: nil, names: [:])

  private init(coder: (any PersonalDataCoder)?, names: [String: [String]]) { (self.coder, self.names) = (coder, names) }

  /// - Parameter aggregates: Their events say which members are personal (`DomainEvent.personalFields`).
  public init(coder: any PersonalDataCoder, aggregates: [any Aggregate.Type]) {
    var names: [String: [String]] = [:]
    for aggregate in aggregates { names.merge(Self.fields(aggregate)) { $0 + $1 } }
    self.init(coder: coder, names: names)
  }

  private static func fields<State: Aggregate>(_ aggregate: State.Type) -> [String: [String]] {
    State.Event.personalFields
  }

  private enum Direction { case encode, decode }

  func encodeData(_ data: [UInt8], type: String, in stream: StreamID) async throws -> [UInt8] {
    try await code(data, names[type] ?? [], stream, .encode)
  }

  func decodeData(_ data: [UInt8], type: String, in stream: StreamID) async throws -> [UInt8] {
    try await code(data, names[type] ?? [], stream, .decode)
  }

  func encodeMetadata(_ metadata: [UInt8], in stream: StreamID) async throws -> [UInt8] {
    try await code(metadata, ["actor"], stream, .encode)
  }

  func decodeMetadata(_ metadata: [UInt8], in stream: StreamID) async throws -> [UInt8] {
    try await code(metadata, ["actor"], stream, .decode)
  }

  var isOpen: Bool { coder == nil }

  private func code(
    _ text: [UInt8], _ names: [String], _ stream: StreamID, _ direction: Direction
  ) async throws -> [UInt8] {
    guard let coder, !names.isEmpty, case .object(var object) = try JSONValue(parsing: text) else { return text }
    for index in object.members.indices where names.contains(object.members[index].name) {
      let value = object.members[index].value
      object.members[index].value =
        switch direction {
        case .encode: try await coder.encode(value, in: stream)
        case .decode: try await coder.decode(value, in: stream)
        }
    }
    var writer = JSONWriter(reserving: text.count)
    writer.value(.object(object))
    return writer.bytes
  }
}
