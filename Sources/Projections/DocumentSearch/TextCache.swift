import Synchronization

/// Beginnings of contents by their hash: a document changes its status more often than its content. The least recently used go
/// first.
final class TextCache: Sendable {
  static let maximumBytes = 16 << 20

  private struct State {
    var texts: [String: (text: String, used: UInt64)] = [:]
    var bytes = 0
    var clock: UInt64 = 0
  }
  private let state = Mutex(State())

  func text(of hash: String) -> String? {
    state.withLock { state in
      guard let found = state.texts[hash] else { return nil }
      state.clock += 1
      state.texts[hash] = (found.text, state.clock)
      return found.text
    }
  }

  func keep(_ text: String, of hash: String) {
    let size = text.utf8.count
    guard size <= Self.maximumBytes / 8 else { return }
    state.withLock { state in
      guard state.texts[hash] == nil else { return }
      state.clock += 1
      state.texts[hash] = (text, state.clock)
      state.bytes += size
      guard state.bytes > Self.maximumBytes else { return }
      // A half at once: each look for the oldest costs as much as all together.
      for (hash, entry) in state.texts.sorted(by: { $0.value.used < $1.value.used }) {
        guard state.bytes > Self.maximumBytes / 2 else { break }
        state.texts[hash] = nil
        state.bytes -= entry.text.utf8.count
      }
    }
  }
}
