import CUV
import Glibc

/// A child process, whose end is reported on a reactor's loop.
public actor ChildProcess {
  /// The way in which the process ended.
  public enum Termination: Equatable, Sendable {
    case exited(status: Int64)
    case signalled(Int32)
  }

  public struct LaunchError: Error, CustomStringConvertible {
    public let program: String
    public let reason: String
    public var description: String { "\(program) cannot be started: \(reason)" }
  }

  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  public private(set) var processIdentifier: Int32 = 0
  private var termination: Termination?
  private var waiting: [CheckedContinuation<Termination, Never>] = []
  private var handle: UnsafeMutablePointer<uv_process_t>?

  /// Starts a program that is looked up in PATH.
  ///
  /// - Parameters:
  ///   - environment: The complete environment; nil: the environment of this process.
  ///   - input: The descriptor for standard input; nil: there is none.
  ///   - output: The descriptor for standard output and error; nil: those of this process.
  public static func start(
    _ program: String, _ arguments: [String] = [], environment: [String: String]? = nil, input: Int32? = nil,
    output: Int32? = nil, on reactor: Reactor
  ) async throws(LaunchError) -> ChildProcess {
    let child = ChildProcess(on: reactor)
    try await child.spawn(program, arguments, environment, input, output)
    return child
  }

  private init(on reactor: Reactor) { self.reactor = reactor }

  private func spawn(
    _ program: String, _ arguments: [String], _ environment: [String: String]?, _ input: Int32?, _ output: Int32?
  ) throws(LaunchError) {
    let handle = UnsafeMutablePointer<uv_process_t>.allocate(capacity: 1)
    handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    let status = launch(program, arguments, environment, input, output, reactor.loop, handle)
    self.handle = handle
    guard status == 0 else {
      close()
      throw LaunchError(program: program, reason: String(cString: uv_strerror(status)))
    }
    processIdentifier = handle.pointee.pid
  }

  /// Waits until the process ends.
  public func wait() async -> Termination {
    await withCheckedContinuation { continuation in
      if let termination { continuation.resume(returning: termination) } else { waiting.append(continuation) }
    }
  }

  /// Sends a signal. Does nothing after the process has ended.
  public func signal(_ number: Int32) {
    guard let handle else { return }
    uv_process_kill(handle, number)
  }

  fileprivate func ended(_ termination: Termination) {
    self.termination = termination
    for continuation in waiting { continuation.resume(returning: termination) }
    waiting = []
    close()
  }

  private func close() {
    guard let handle else { return }
    self.handle = nil
    closeLoopHandle(UnsafeMutableRawPointer(handle).assumingMemoryBound(to: uv_handle_t.self))
  }
}

/// Not a method of the actor, because all pointers are local to this call.
private func launch(
  _ program: String, _ arguments: [String], _ environment: [String: String]?, _ input: Int32?, _ output: Int32?,
  _ loop: UnsafeMutablePointer<uv_loop_t>, _ handle: UnsafeMutablePointer<uv_process_t>
) -> Int32 {
  let words = CStrings([program] + arguments)
  let variables = environment.map { CStrings($0.map { "\($0.key)=\($0.value)" }) }
  var streams = (0..<3).map { descriptor in
    var stream = uv_stdio_container_t()
    stream.flags = descriptor == 0 && input == nil ? UV_IGNORE : UV_INHERIT_FD
    stream.data.fd = descriptor == 0 ? input ?? -1 : output ?? Int32(descriptor)
    return stream
  }
  return streams.withUnsafeMutableBufferPointer { streams in
    var options = uv_process_options_t()
    options.file = UnsafePointer(words.first)
    options.args = words.pointers
    options.env = variables?.pointers
    options.stdio_count = 3
    options.stdio = streams.baseAddress
    options.exit_cb = { handle, status, signal in
      let child = Unmanaged<ChildProcess>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
      child.assumeIsolated { $0.ended(signal == 0 ? .exited(status: status) : .signalled(signal)) }
    }
    return uv_spawn(loop, handle, &options)
  }
}

/// A null-terminated array of C strings.
private final class CStrings {
  let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ texts: [String]) {
    count = texts.count
    pointers = .allocate(capacity: count + 1)
    for (index, text) in texts.enumerated() { (pointers + index).initialize(to: strdup(text)) }
    (pointers + count).initialize(to: nil)
  }

  var first: UnsafeMutablePointer<CChar> { pointers[0]! }

  deinit {
    for index in 0..<count { free(pointers[index]) }
    pointers.deallocate()
  }
}
