/// What an aggregate does with commands, as pure functions: no clock, no network, no chance. What those have to say
/// comes in with the command.
public protocol Decider {
  associatedtype State: Sendable
  associatedtype Command: Sendable
  associatedtype Event: Sendable
  associatedtype Refusal: Error

  /// The state of a stream without events.
  static var initial: State { get }

  /// The events that follow from a command; none where nothing changes.
  static func decide(_ command: Command, _ state: State) throws(Refusal) -> [Event]

  /// The state after an event. It refuses nothing: what was recorded has happened.
  static func evolve(_ state: State, _ event: Event) -> State
}
