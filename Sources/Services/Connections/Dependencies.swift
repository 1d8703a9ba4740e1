import Resilience
import Synchronization

/// The servers that a process's reactors call.
final class Dependencies: Sendable {
  private let all = Mutex<[Dependency]>([])

  func add(_ dependencies: [Dependency]) { all.withLock { $0 += dependencies } }

  /// By name, the worst of all reactors.
  var states: [(name: String, state: Dependency.State)] {
    let states = all.withLock { $0 }.map { (name: $0.name, state: $0.state) }
    let order = Dependency.State.allCases
    return Dictionary(grouping: states, by: \.name)
      .map { name, states in
        (name, order[states.compactMap { order.firstIndex(of: $0.state) }.max() ?? 0])
      }
      .sorted { $0.name < $1.name }
  }
}
