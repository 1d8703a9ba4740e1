import CUV
import Glibc

/// Readiness of a descriptor to be read, written or both.
public struct Readiness: OptionSet, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public static let readable = Readiness(rawValue: Int32(UV_READABLE.rawValue))
  public static let writable = Readiness(rawValue: Int32(UV_WRITABLE.rawValue))
}

/// Watches one descriptor on a loop. The caller keeps the descriptor, unless it is the watch's own, and cancels the watch before
/// closing it.
public final class Watch {
  private let reactor: Reactor
  private let label: StaticString
  private let body: (Readiness) -> Void
  /// Closed with the watch; nil: the caller's.
  private let owned: Int32?
  private var handle: UnsafeMutablePointer<uv_poll_t>?
  public private(set) var interest: Readiness = []

  fileprivate init(
    _ descriptor: Int32, isOwned: Bool, on reactor: Reactor, label: StaticString,
    _ body: @escaping (Readiness) -> Void
  ) throws(WatchError) {
    (self.reactor, self.label, self.body) = (reactor, label, body)
    owned = isOwned ? descriptor : nil
    let handle = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
    let status = uv_poll_init(reactor.loop, handle, descriptor)
    guard status == 0 else {
      handle.deallocate()
      if isOwned { close(descriptor) }
      throw WatchError(descriptor: descriptor, reason: String(cString: uv_strerror(status)))
    }
    handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    self.handle = handle
  }

  /// Sets the readiness to wait for, on the loop.
  public func update(_ interest: Readiness) {
    guard let handle, interest != self.interest else { return }
    reactor.checkIsolated()
    self.interest = interest
    guard !interest.isEmpty else {
      uv_poll_stop(handle)
      return
    }
    check(
      uv_poll_start(handle, interest.rawValue) { handle, status, events in
        let watch = Unmanaged<Watch>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
        // On an error all requested readiness is reported: the owner's next call on the descriptor returns the error.
        let ready = status < 0 ? watch.interest : Readiness(rawValue: events)
        watch.reactor.measured(watch.label) { watch.body(ready) }
      }, "uv_poll_start")
  }

  /// Ends the watch permanently, on the loop. `body` is not called again.
  public func cancel() {
    guard let handle else { return }
    reactor.checkIsolated()
    uv_poll_stop(handle)
    self.handle = nil
    interest = []
    closeLoopHandle(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self))
    if let owned { close(owned) }
  }
}

public struct WatchError: Error, CustomStringConvertible {
  public let descriptor: Int32
  public let reason: String
  public var description: String { "descriptor \(descriptor) cannot be watched: \(reason)" }
}

extension Reactor {
  /// Calls `body`, on the loop, whenever the descriptor is ready for `interest`.
  ///
  /// - Parameters:
  ///   - isOwned: The watch closes it at its end.
  ///   - label: The name of the callback in the log of a long turn.
  public func watch(
    _ descriptor: Int32, isOwned: Bool = false, for interest: Readiness, label: StaticString,
    _ body: @escaping (Readiness) -> Void
  ) throws(WatchError) -> Watch {
    checkIsolated()
    let watch = try Watch(descriptor, isOwned: isOwned, on: self, label: label, body)
    watch.update(interest)
    return watch
  }
}
