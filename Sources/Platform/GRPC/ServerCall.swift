import CGRPC
import Synchronization

/// One call that a server has taken, and the memory that gRPC writes into for it.
///
/// One task uses it; another thread tells it that the client has gone.
final class ServerCall: @unchecked Sendable {  // unchecked: `state` is locked; the rest belongs to the call's task
  private struct State {
    var task: Task<Void, Never>?
    var cancelled: (reason: Cancellation, since: ContinuousClock.Instant)?
    /// A message waits since then until there is room for it.
    var sendingSince: ContinuousClock.Instant?
  }

  /// Why the task of a call is cancelled.
  enum Cancellation: Sendable {
    /// The client has gone, or its deadline has passed: nobody receives the answer.
    case gone
    case overdue
    case tooSlow
    case stopping
  }

  let path: String
  let begun = ContinuousClock.now
  private let raw: OpaquePointer
  private let queue: CompletionQueue
  private var received: grpc_metadata_array
  private let state = Mutex(State())
  private var hasSentHeaders = false

  /// gRPC writes here.
  private let slot = UnsafeMutablePointer<Slot>.allocate(capacity: 1)
  private struct Slot {
    var wasCancelled: Int32 = 0
    var message: UnsafeMutablePointer<grpc_byte_buffer>?
  }

  init(
    _ raw: OpaquePointer, _ path: String, headers: grpc_metadata_array, on queue: CompletionQueue
  ) {
    (self.raw, self.path, received, self.queue) = (raw, path, headers, queue)
    slot.initialize(to: Slot())
  }

  deinit {
    slot.deallocate()
    grpc_metadata_array_destroy(&received)
    grpc_call_unref(raw)
  }

  var cancelled: (reason: Cancellation, since: ContinuousClock.Instant)? { state.withLock { $0.cancelled } }
  var cancellation: Cancellation? { cancelled?.reason }

  /// The headers that are texts.
  lazy var headers: [(name: String, value: String)] = (0..<received.count).compactMap { index in
    let name = received.metadata[index].key.text
    return name.hasSuffix("-bin") ? nil : (name, received.metadata[index].value.text)
  }

  /// Address and port of the client: `ipv4:127.0.0.1:40000`.
  var peer: String {
    guard let text = grpc_call_get_peer(raw) else { return "" }
    defer { gpr_free(text) }
    return String(cString: text)
  }

  // MARK: Its task

  /// Has the call's task cancelled when the client goes.
  func watch() {
    start([.receiveClose(slot.pointer(to: \.wasCancelled)!)]) { [self] _ in
      if slot.pointee.wasCancelled != 0 { cancel(.gone) }
    }
  }

  func run(_ body: @escaping @Sendable () async -> Void) {
    let task = Task { await body() }
    let isLate = state.withLock { state in
      state.task = task
      return state.cancelled != nil
    }
    if isLate { task.cancel() }
  }

  /// The first reason counts.
  func cancel(_ reason: Cancellation) {
    let task = state.withLock { state in
      state.cancelled = state.cancelled ?? (reason, .now)
      return state.task
    }
    task?.cancel()
  }

  // MARK: Operations

  /// The next message; nil at the end.
  ///
  /// - Throws: `CancellationError` if the client has gone: it is no end.
  func receive() async throws -> ByteBuffer? {
    slot.pointee.message = nil
    let isDone = await perform([.receiveMessage(slot.pointer(to: \.message)!)])
    if let buffer = slot.pointee.message { return ByteBuffer(taking: buffer) }
    guard isDone, cancellation == nil else { throw CancellationError() }
    return nil
  }

  /// Headers, if they have not been sent: a client of a stream at rest knows then that it was accepted.
  func sendHeaders() async -> Bool {
    guard !hasSentHeaders else { return true }
    hasSentHeaders = true
    return await perform([.sendHeaders(.none)])
  }

  /// Waits until there is room for the message, not until the client has it.
  func send(_ message: ByteBuffer) async -> Bool {
    state.withLock { $0.sendingSince = .now }
    defer { state.withLock { $0.sendingSince = nil } }
    return await perform(takingHeaders([.sendMessage(message)]))
  }

  var sendingSince: ContinuousClock.Instant? { state.withLock { $0.sendingSince } }

  /// Ends the call.
  ///
  /// - Parameter message: The answer, of a call that has one.
  func finish(_ message: ByteBuffer?, _ error: RPCError?) async {
    let trailers = error?.trailer.map { Metadata([("grpc-status-details-bin", $0)]) } ?? .none
    var operations: [Operation] = []
    if let message { operations.append(.sendMessage(message)) }
    operations.append(.sendStatus(error?.code ?? .ok, error?.text ?? "", trailers))
    state.withLock { $0.sendingSince = .now }
    defer { state.withLock { $0.sendingSince = nil } }
    if await !perform(takingHeaders(operations)) {
      // The client has gone, or the status is one that gRPC refuses.
      grpc_call_cancel(raw, nil)
    }
  }

  /// Cuts the call off: the client gets this status, whatever waits to be sent.
  func cut(_ error: RPCError) {
    grpc_call_cancel_with_status(raw, grpc_status_code(rawValue: error.code.rawValue), error.text, nil)
  }

  private func takingHeaders(_ operations: [Operation]) -> [Operation] {
    guard !hasSentHeaders else { return operations }
    hasSentHeaders = true
    return [.sendHeaders(.none)] + operations
  }

  private func perform(_ operations: [Operation]) async -> Bool {
    await withCheckedContinuation { continuation in
      start(operations) { continuation.resume(returning: $0) }
    }
  }

  private func start(_ operations: [Operation], _ body: @escaping @Sendable (Bool) -> Void) {
    // What is sent lives until gRPC is done with it.
    let tag = CompletionQueue.tag { isDone in withExtendedLifetime(operations) { body(isDone) } }
    var status: grpc_slice?
    var list = operations.map { operation in
      if case .sendStatus(_, let text, _) = operation { status = grpc_slice(text.utf8) }
      return operation.raw
    }
    let error = list.withUnsafeMutableBufferPointer { list in
      guard var text = status else { return grpc_call_start_batch(raw, list.baseAddress, list.count, tag, nil) }
      defer { grpc_slice_unref(text) }
      return withUnsafeMutablePointer(to: &text) { text in
        list[list.count - 1].data.send_status_from_server.status_details = text
        return grpc_call_start_batch(raw, list.baseAddress, list.count, tag, nil)
      }
    }
    guard error != GRPC_CALL_OK else { return }
    CompletionQueue.forget(tag)
    body(false)
  }
}

/// A part of a batch.
private enum Operation: @unchecked Sendable {  // unchecked: pointers into memory of the call that starts it
  case sendHeaders(Metadata)
  case sendMessage(ByteBuffer)
  /// The last of its batch.
  case sendStatus(RPCCode, String, Metadata)
  case receiveMessage(UnsafeMutablePointer<UnsafeMutablePointer<grpc_byte_buffer>?>)
  case receiveClose(UnsafeMutablePointer<Int32>)

  var raw: grpc_op {
    var operation = grpc_op()
    switch self {
    case .sendHeaders(let headers):
      operation.op = GRPC_OP_SEND_INITIAL_METADATA
      operation.data.send_initial_metadata.count = headers.count
      operation.data.send_initial_metadata.metadata = headers.pointer
    case .sendMessage(let message):
      operation.op = GRPC_OP_SEND_MESSAGE
      operation.data.send_message.send_message = message.pointer
    case .sendStatus(let code, _, let trailers):
      operation.op = GRPC_OP_SEND_STATUS_FROM_SERVER
      operation.data.send_status_from_server.status = grpc_status_code(rawValue: code.rawValue)
      operation.data.send_status_from_server.trailing_metadata_count = trailers.count
      operation.data.send_status_from_server.trailing_metadata = trailers.pointer
    case .receiveMessage(let place):
      operation.op = GRPC_OP_RECV_MESSAGE
      operation.data.recv_message.recv_message = place
    case .receiveClose(let place):
      operation.op = GRPC_OP_RECV_CLOSE_ON_SERVER
      operation.data.recv_close_on_server.cancelled = place
    }
    return operation
  }
}
