import Reactor

/// Reads history on its reactor, while whoever asked goes on.
actor StretchReader {
  private nonisolated let reactor: Reactor
  nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let history: History

  init(_ world: ViewWorld) { (reactor, history) = (world.reactor, world.history()) }

  func next(of category: String, after last: String, limit: Int, everyEvent: Bool) async throws -> History.Stretch? {
    try await history.next(of: category, after: last, limit: limit, everyEvent: everyEvent)
  }
}
