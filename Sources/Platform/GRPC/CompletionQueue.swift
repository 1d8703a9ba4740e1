import CGRPC
import Glibc
import Synchronization

/// A queue of gRPC's on which it says that operations have ended, and the thread that waits there.
///
/// That thread runs what follows an operation, so it must never block. No operation may be started after `stop()`.
final class CompletionQueue: @unchecked Sendable {  // unchecked: the pointer is constant, and the library locks
  let pointer: OpaquePointer
  private let end = Mutex<CheckedContinuation<Void, Never>?>(nil)

  init() {
    Library.start()
    pointer = grpc_completion_queue_create_for_next(nil)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { queue in
        Unmanaged<CompletionQueue>.fromOpaque(queue!).takeRetainedValue().turn()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    precondition(status == 0, "no thread can be started: error \(status)")
    pthread_detach(thread)
  }

  /// The pointer under which gRPC says that an operation has ended: once, whether it succeeded or not.
  static func tag(_ body: @escaping @Sendable (Bool) -> Void) -> UnsafeMutableRawPointer {
    Unmanaged.passRetained(Completion(body)).toOpaque()
  }

  /// Gives back a tag of an operation that could not be started.
  static func forget(_ tag: UnsafeMutableRawPointer) { Unmanaged<Completion>.fromOpaque(tag).release() }

  private final class Completion: Sendable {
    let body: @Sendable (Bool) -> Void
    init(_ body: @escaping @Sendable (Bool) -> Void) { self.body = body }
  }

  private func turn() {
    while true {
      let event = grpc_completion_queue_next(pointer, gpr_inf_future(GPR_CLOCK_REALTIME), nil)
      switch event.type {
      case GRPC_OP_COMPLETE:
        Unmanaged<Completion>.fromOpaque(event.tag).takeRetainedValue().body(event.success != 0)
      case GRPC_QUEUE_SHUTDOWN:
        end.withLock { $0 }?.resume()
        return
      default: continue
      }
    }
  }

  /// Ends the thread, when every operation has ended.
  func stop() async {
    await withCheckedContinuation { continuation in
      end.withLock { $0 = continuation }
      grpc_completion_queue_shutdown(pointer)
    }
    grpc_completion_queue_destroy(pointer)
    grpc_shutdown()
  }
}

enum Library {
  private static let isQuiet: Void = {
    // It would write headers that it refuses, with the tokens in them, to standard error.
    gpr_set_log_function { _ in }
  }()

  /// Each start needs a `grpc_shutdown()`.
  static func start() {
    _ = isQuiet
    grpc_init()
  }
}
