import CommandLine
import Configuration
import Domain
import Events
import Identifiers
import JSON
import Reactor
import Synchronization

/// The rows of the documents that are read most at the moment, in the memory of one reactor, in front of Redis.
///
/// A row is kept for 30 s at most, and goes with the next event of its document: while there are rows here, the reader of the log
/// tells of each. If it does not follow the log, nothing here is used.
final class HotDocuments: Sendable {
  struct Row: Sendable {
    let bytes: [UInt8]
    let document: Document
    var version: StreamVersion { document.version }
  }

  private struct Entry {
    let row: Row
    let expires: ContinuousClock.Instant
  }

  private struct State {
    var entries: [UUID: Entry] = [:]
    /// The bytes of all rows.
    var bytes = 0
    /// Reads in the second that runs.
    var reads: [UUID: Int] = [:]
    var second = ContinuousClock.now
    /// The versions that the log has told of lately: an older row comes from a Redis that is behind.
    var newest: [UUID: StreamVersion] = [:]
    /// Until then nothing is taken: events may have been missed.
    var closedUntil = ContinuousClock.now
    var isFollowing = false
  }
  private let state = Mutex(State())
  private let hub: EventHub
  private let reactor: Reactor
  private let limit: Int

  /// So many reads in a second make a document hot.
  private static let threshold = 20
  private static let lifetime = Duration.seconds(30)
  /// Documents that are counted within a second.
  private static let counted = 10_000
  /// How long nothing is taken after events were missed: the views follow meanwhile.
  private static let pause = Duration.seconds(5)

  static let memory = Setting(
    "cache.memory", default: ByteCount.mebibytes(16),
    "Memory for the rows of the documents that are read most, in each reactor. 0: they are read from Redis.")

  init(hub: EventHub, limit: Int, on reactor: Reactor) { (self.hub, self.limit, self.reactor) = (hub, limit, reactor) }

  /// The row of a document that is read.
  ///
  /// - Returns: nil: ask Redis, and offer what it has.
  func read(_ id: UUID) -> (row: Row?, isHot: Bool) {
    guard limit > 0, hub.isLive || !isFollowing else { return (nil, false) }
    let now = ContinuousClock.now
    return state.withLock { state in
      if now - state.second > .seconds(1) || state.reads.count > Self.counted {
        state.reads.removeAll(keepingCapacity: true)
        state.second = now
      }
      state.reads[id, default: 0] += 1
      let isHot = state.reads[id] ?? 0 >= Self.threshold || state.entries[id] != nil
      guard let entry = state.entries[id] else { return (nil, isHot) }
      guard entry.expires > now else {
        remove(id, &state)
        return (nil, isHot)
      }
      return (entry.row, true)
    }
  }

  /// A look that counts no read.
  func document(_ id: UUID) -> Document? {
    guard hub.isLive else { return nil }
    let now = ContinuousClock.now
    return state.withLock { state in state.entries[id].flatMap { $0.expires > now ? $0.row.document : nil } }
  }

  /// Keeps a row that Redis has, if its document is hot.
  func offer(_ bytes: [UInt8], of id: UUID) {
    guard limit > 0, bytes.count <= limit / 4 else { return }
    let mustFollow = state.withLock { state in
      guard !state.isFollowing else { return false }
      state.isFollowing = true
      // What was told before is not known here, and Redis may be behind it.
      state.closedUntil = .now + Self.pause
      return true
    }
    if mustFollow { follow() }
    // Until the reader of the log follows, an event could be missed.
    let now = ContinuousClock.now
    // A row that may not be kept is not parsed; below, under the same lock as the entry, this is asked again.
    guard hub.isLive, state.withLock({ $0.closedUntil < now }), let json = try? JSONValue(parsing: bytes),
      let document = try? Document(rowImage: json)
    else { return }
    state.withLock { state in
      guard state.closedUntil < now, document.version >= state.newest[id] ?? .none else { return }
      remove(id, &state)
      while state.bytes + bytes.count > limit, let other = state.entries.keys.first { remove(other, &state) }
      state.entries[id] = Entry(row: Row(bytes: bytes, document: document), expires: now + Self.lifetime)
      state.bytes += bytes.count
    }
  }

  private func remove(_ id: UUID, _ state: inout State) {
    if let entry = state.entries.removeValue(forKey: id) { state.bytes -= entry.row.bytes.count }
  }

  /// Drops a row that Redis does not have any more.
  func forget(_ id: UUID) { state.withLock { remove(id, &$0) } }

  /// An older row than this version is not kept any more.
  func forget(_ id: UUID, before version: StreamVersion) { state.withLock { note(id, version, &$0) } }

  private func note(_ id: UUID, _ version: StreamVersion, _ state: inout State) {
    remove(id, &state)
    if state.newest.count >= Self.counted {
      state.newest.removeAll()
      state.closedUntil = .now + Self.pause
    }
    state.newest[id] = max(version, state.newest[id] ?? .none)
  }

  private var isFollowing: Bool { state.withLock { $0.isFollowing } }

  // MARK: The log

  /// Hears of each event while there are rows.
  private func follow() {
    let inbox = hub.subscribe(.matching { "\($0.stream.category)" == "\(Document.category)" }, on: reactor)
    Task { [reactor] in
      await reactor.run { [self] in
        loop: while true {
          switch await inbox.next(within: Self.lifetime) {
          case .events(let events):
            state.withLock { state in
              for event in events {
                guard let id = UUID(event.stream.id) else { continue }
                note(id, event.version, &state)
              }
            }
          case .overflow: clear()
          case .nothing: if isIdle() { break loop }
          case .closed: break loop
          }
        }
        inbox.close()
        clear()
        state.withLock { $0.isFollowing = false }
      }
    }
  }

  private func clear() {
    state.withLock { state in
      state.entries.removeAll()
      state.newest.removeAll()
      (state.bytes, state.closedUntil) = (0, .now + Self.pause)
    }
  }

  /// Nothing has been kept for as long as a row lives.
  private func isIdle() -> Bool {
    let now = ContinuousClock.now
    return state.withLock { state in
      for (id, entry) in state.entries where entry.expires <= now { remove(id, &state) }
      return state.entries.isEmpty
    }
  }
}
