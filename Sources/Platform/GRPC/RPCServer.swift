import CGRPC
public import Logging
public import Metrics
import Protobuf
public import Reactor
import Synchronization

/// Where a server of gRPC listens, and what it bears.
public struct RPCServerOptions: Sendable {
  public let address: String
  public let port: Int
  /// The largest message of a client, in bytes.
  public let maximumMessage: Int
  /// Calls at once. One more is answered with RESOURCE_EXHAUSTED.
  public let maximumCalls: Int
  /// Memory for what is received and sent, in bytes.
  public let memory: Int
  /// How long a call that is no stream may take, whatever its client's deadline.
  public let longestCall: Duration

  public init(
    address: String, port: Int, maximumMessage: Int = 1 << 20, maximumCalls: Int = 10_000, memory: Int = 256 << 20,
    longestCall: Duration = .seconds(60)
  ) {
    (self.address, self.port) = (address, port)
    (self.maximumMessage, self.maximumCalls, self.memory) = (maximumMessage, maximumCalls, memory)
    self.longestCall = longestCall
  }
}

/// Serves calls over HTTP/2 without TLS, by gRPC's C core. Health and reflection come with it.
public final class RPCServer: @unchecked Sendable {  // unchecked: `calls` is locked, the pointers are constant
  /// How long a client may take nothing.
  static let patience = Duration.seconds(30)
  /// How long a call whose task was cancelled has to end by itself.
  private static let mercy = Duration.seconds(2)

  private let server: OpaquePointer
  private let queue: CompletionQueue
  private let health: Health
  /// By their paths; one for each reactor.
  private let methods: [[String: RPCMethod]]
  private let reactors: [Reactor]
  private let maximumCalls: Int
  private let longestCall: Duration
  private let sweep = Mutex<Task<Void, Never>?>(nil)
  private let describe: @Sendable (any Error) -> RPCError
  private let logger: Logger
  private let metrics: MetricsRegistry

  private struct Calls {
    var running: [ObjectIdentifier: (call: ServerCall, isStreaming: Bool)] = [:]
    var next = 0
    var isStopping = false
    var whenIdle: CheckedContinuation<Void, Never>?
  }
  private let calls = Mutex(Calls())

  private static let callsName = "annals_grpc_calls_total"
  private static let callsHelp = "Calls by gRPC that have ended, by method and status."

  /// Declares the metrics of a server: one that has not taken a call has them too.
  public static func declare(_ metrics: MetricsRegistry) {
    metrics.declare(.counter, callsName, labels: ["method", "code"], help: callsHelp)
  }

  /// Listens.
  ///
  /// - Parameters:
  ///   - services: The same ones for each reactor; calls go round.
  ///   - describe: The status of an error that is no `RPCError`.
  /// - Throws: `RPCError` if the address cannot be had.
  public init(
    _ options: RPCServerOptions, services: [(reactor: Reactor, services: [RPCService])], logger: Logger,
    metrics: MetricsRegistry, describe: @escaping @Sendable (any Error) -> RPCError
  ) throws(RPCError) {
    self.describe = describe
    longestCall = options.longestCall
    (maximumCalls, self.logger, self.metrics) = (options.maximumCalls, logger.labelled("grpc"), metrics)
    Self.declare(metrics)
    let offered = services.first?.services ?? []
    health = Health(offered.map(\.name))
    let own = [health.service] + Reflection.services(offered + [health.service])
    reactors = services.map(\.reactor)
    methods = services.map { (_, services) in
      Dictionary(
        (services + own).flatMap { service in service.methods.map { ("/\(service.name)/\($0.name)", $0) } },
        uniquingKeysWith: { first, _ in first })
    }
    Library.start()
    let made = Self.make(options)
    guard let made else {
      grpc_shutdown()
      throw RPCError(.unavailable, "\(options.address):\(options.port) cannot be listened on: is it in use?")
    }
    server = made
    queue = CompletionQueue()
    grpc_server_register_completion_queue(server, queue.pointer, nil)
    grpc_server_start(server)
    Acceptor(self).arm()
    let reactor = reactors[0]
    sweep.withLock {
      $0 = Task { [weak self] in
        while true {
          do { try await reactor.sleep(for: .seconds(1)) } catch { return }
          guard let self else { return }
          look()
        }
      }
    }
  }

  /// Ends calls that take too long, and cuts off clients that take nothing.
  private func look() {
    let now = ContinuousClock.now
    for (call, isStreaming) in calls.withLock({ Array($0.running.values) }) {
      if !isStreaming, now - call.begun > longestCall { call.cancel(.overdue) }
      if let since = call.sendingSince, now - since > Self.patience { call.cancel(.tooSlow) }
      // Its task may wait for the client: that wait ends with the call alone.
      if let (reason, since) = call.cancelled, now - since > Self.mercy { call.cut(error(of: reason)) }
    }
  }

  /// - Returns: nil if the address cannot be had.
  private static func make(_ options: RPCServerOptions) -> OpaquePointer? {
    let quota = grpc_resource_quota_create("annals")
    defer { grpc_resource_quota_unref(quota) }
    grpc_resource_quota_resize(quota, options.memory)
    let settings: [(StaticString, Int)] = [
      ("grpc.so_reuseport", 0),
      ("grpc.max_receive_message_length", options.maximumMessage),
      ("grpc.max_metadata_size", 32 << 10),
      ("grpc.max_concurrent_streams", 1_000),
      // The library limits what it has inflated only when it is inflated: nothing compressed is taken.
      ("grpc.compression_enabled_algorithms_bitset", 1), ("grpc.per_message_decompression", 0),
      // A client that went without a word is noticed, with calls or without; one that asks for nothing is closed.
      ("grpc.keepalive_time_ms", 60_000), ("grpc.keepalive_timeout_ms", 20_000),
      ("grpc.keepalive_permit_without_calls", 1), ("grpc.max_connection_idle_ms", 300_000),
      ("grpc.http2.max_pings_without_data", 0), ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
      // What is sent ahead of a slow reader stays small.
      ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536),
    ]
    var arguments = settings.map { name, value in
      // The library keeps the pointer: a static text lives for ever.
      annals_argument(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self), Int32(value))
    }
    arguments.append(annals_quota_argument(quota))
    let server = arguments.withUnsafeMutableBufferPointer { list in
      var arguments = grpc_channel_args(num_args: list.count, args: list.baseAddress)
      return grpc_server_create(&arguments, nil)!
    }
    let credentials = grpc_insecure_server_credentials_create()
    defer { grpc_server_credentials_release(credentials) }
    let host = options.address.contains(":") ? "[\(options.address)]" : options.address
    guard grpc_server_add_http2_port(server, "\(host):\(options.port)", credentials) != 0 else {
      grpc_server_destroy(server)
      return nil
    }
    return server
  }

  // MARK: Calls

  /// Waits for the next call, whatever its method. Unchecked: gRPC writes into the slot, then the queue's thread reads it.
  private final class Acceptor: @unchecked Sendable {
    private struct Slot {
      var call: OpaquePointer?
      var details = grpc_call_details()
      var headers = grpc_metadata_array()
    }
    private let server: RPCServer
    private let slot = UnsafeMutablePointer<Slot>.allocate(capacity: 1)

    init(_ server: RPCServer) { self.server = server }
    deinit { slot.deallocate() }

    func arm() {
      slot.initialize(to: Slot())
      grpc_call_details_init(slot.pointer(to: \.details))
      grpc_metadata_array_init(slot.pointer(to: \.headers))
      let tag = CompletionQueue.tag { [self] isCall in taken(isCall) }
      let queue = server.queue.pointer
      let error = grpc_server_request_call(
        server.server, slot.pointer(to: \.call), slot.pointer(to: \.details), slot.pointer(to: \.headers), queue, queue,
        tag)
      if error != GRPC_CALL_OK { CompletionQueue.forget(tag) }
    }

    private func taken(_ isCall: Bool) {
      let taken = slot.pointee
      let path = taken.details.method.text
      grpc_call_details_destroy(slot.pointer(to: \.details))
      guard isCall, let raw = taken.call else {
        // The server stops.
        grpc_metadata_array_destroy(slot.pointer(to: \.headers))
        return
      }
      let call = ServerCall(
        raw, path, headers: taken.headers, on: server.queue)
      arm()
      server.begin(call)
    }
  }

  private func begin(_ call: ServerCall) {
    let (index, refusal): (Int, RPCError?) = calls.withLock { calls in
      calls.next = (calls.next + 1) % reactors.count
      let method = methods[calls.next][call.path]
      // Whoever looks whether the server is well wants an answer, whatever it is.
      let isHealth = call.path == Health.checkPath
      let refusal: RPCError? =
        if calls.isStopping, !isHealth { .stopping } else if calls.running.count >= maximumCalls, !isHealth {
          RPCError(.resourceExhausted, "the server works on \(maximumCalls) calls already; try again later")
        } else if method == nil {
          RPCError(.unimplemented, "there is no method “\(call.path.prefix(200))”")
        } else { nil }
      // Those that are refused are counted too: nothing is torn down before their answer has gone.
      calls.running[ObjectIdentifier(call)] = (call, method?.isStreaming == true)
      return (calls.next, refusal)
    }
    call.watch()
    call.run { [self, reactor = reactors[index], method = methods[index][call.path]] in
      await reactor.run {
        var (answer, problem): (ByteBuffer?, RPCError?) = (nil, refusal)
        if let method, refusal == nil {
          do { answer = try await method.run(call) } catch { problem = status(of: error, call) }
        }
        if case .gone = call.cancellation { problem = RPCError(.cancelled, "cancelled") }
        let code = problem?.code ?? .ok
        metrics.counter(
          Self.callsName, ["method": method == nil ? "unknown" : call.path, "code": "\(code)"], help: Self.callsHelp
        ).increment()
        await call.finish(answer, problem)
      }
      end(call)
    }
  }

  private func status(of error: any Error) -> RPCError {
    switch error {
    case let error as RPCError: error
    case is CancellationError: RPCError(.cancelled, "cancelled")
    default: describe(error)
    }
  }

  private func status(of error: any Error, _ call: ServerCall) -> RPCError {
    // Who was cancelled may have wrapped that in an error of its own.
    switch call.cancellation {
    case .gone, nil: status(of: error)
    case .some(let reason): self.error(of: reason)
    }
  }

  private func error(of reason: ServerCall.Cancellation) -> RPCError {
    switch reason {
    case .gone: RPCError(.cancelled, "cancelled")
    case .overdue: RPCError(.deadlineExceeded, "the call took more than \(longestCall)")
    case .tooSlow: RPCError(.resourceExhausted, "too slow: nothing was taken for \(Self.patience)")
    case .stopping: .stopping
    }
  }

  private func end(_ call: ServerCall) {
    let idle = calls.withLock { calls -> CheckedContinuation<Void, Never>? in
      calls.running[ObjectIdentifier(call)] = nil
      guard calls.running.isEmpty else { return nil }
      defer { calls.whenIdle = nil }
      return calls.whenIdle
    }
    idle?.resume()
  }

  // MARK: The end

  /// Says by health that it takes no more calls soon; it takes them yet.
  public func announceStop() { health.stop() }

  /// Takes no more calls. Those of streams end at once, the others within `grace`.
  public func shutdown(grace: Duration, on reactor: Reactor) async {
    health.stop()
    let streams = calls.withLock { calls in
      calls.isStopping = true
      return calls.running.values.filter(\.isStreaming).map(\.call)
    }
    for call in streams { call.cancel(.stopping) }
    let (server, queue) = (server, queue)
    nonisolated(unsafe) let pointer = server
    let deadline = Task { [self] in
      do { try await reactor.sleep(for: grace) } catch { return }
      let left = calls.withLock { calls in calls.running.values.map(\.call) }
      if !left.isEmpty {
        logger.warning("Calls did not end in time and are cancelled", metadata: ["calls": "\(left.count)"])
      }
      for call in left { call.cancel(.stopping) }
      grpc_server_cancel_all_calls(pointer)
    }
    await withCheckedContinuation { continuation in
      grpc_server_shutdown_and_notify(
        server, queue.pointer, CompletionQueue.tag { _ in continuation.resume() })
    }
    // Their tasks still use the queue.
    await withCheckedContinuation { continuation in
      let isIdle = calls.withLock { calls in
        guard !calls.running.isEmpty else { return true }
        calls.whenIdle = continuation
        return false
      }
      if isIdle { continuation.resume() }
    }
    deadline.cancel()
    _ = await deadline.value
    sweep.withLock { $0 }?.cancel()
    grpc_server_destroy(server)
    await queue.stop()
    grpc_shutdown()
  }
}
