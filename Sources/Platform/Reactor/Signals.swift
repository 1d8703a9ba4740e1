import CUV

/// Receives one process signal on a loop.
private final class SignalHandle {
  let body: (Int32) -> Void
  var handle: UnsafeMutablePointer<uv_signal_t>?

  init(_ signal: Int32, on reactor: Reactor, _ body: @escaping (Int32) -> Void) {
    self.body = body
    let handle = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
    check(uv_signal_init(reactor.loop, handle), "uv_signal_init")
    handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    self.handle = handle
    check(
      uv_signal_start(
        handle,
        { handle, signal in
          Unmanaged<SignalHandle>.fromOpaque(handle!.pointee.data).takeUnretainedValue().body(signal)
        }, signal), "uv_signal_start")
  }

  func cancel() {
    guard let handle else { return }
    self.handle = nil
    closeLoopHandle(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self))
  }
}

extension Reactor {
  /// Returns a stream of these signals, which lose their default action. While the reader is busy, the newest four are
  /// kept.
  public func signals(_ numbers: [Int32]) -> AsyncStream<Int32> {
    AsyncStream(bufferingPolicy: .bufferingNewest(4)) { continuation in
      post {
        let handles = SignalHandles(numbers.map { SignalHandle($0, on: self) { continuation.yield($0) } })
        continuation.onTermination = { _ in self.post { handles.cancel() } }
      }
    }
  }
}

private final class SignalHandles: @unchecked Sendable {  // unchecked: touched on the loop only
  private let handles: [SignalHandle]
  init(_ handles: [SignalHandle]) { self.handles = handles }
  func cancel() { for handle in handles { handle.cancel() } }
}
