public import Identifiers

/// A recorded event that this program cannot read.
public struct EventReadError: Error, Equatable, Sendable, CustomStringConvertible {
  public let event: UUID
  public let stream: StreamID
  public let reason: String

  public init(event: UUID, stream: StreamID, reason: String) {
    (self.event, self.stream, self.reason) = (event, stream, reason)
  }

  public var description: String { "event \(event) of \(stream) cannot be read: \(reason)" }
}
