import CMicrohttpd
import Glibc
public import Logging
public import Metrics
public import Reactor

/// An HTTP/1.1 server on one reactor: libmicrohttpd without threads; the loop watches its epoll descriptor. Several
/// reactors each have a server on the same port; the kernel distributes connections among them (SO_REUSEPORT).
public actor HTTPServer {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private let options: HTTPServerOptions
  private let context: ListenerContext
  private let logger: Logger
  private var daemon: OpaquePointer?
  private var watch: Watch?
  private var endOfTurn: EndOfTurn?
  private var timer: LoopTimer?

  /// - Parameter errorResponse: Makes the response to an error that a handler threw.
  public init(
    _ options: HTTPServerOptions, router: Router, on reactor: Reactor, logger: Logger, metrics: MetricsRegistry,
    errorResponse: @escaping @Sendable (any Error, Request) -> Response = { error, _ in Problem.response(to: error) }
  ) {
    (self.options, self.reactor, self.logger) = (options, reactor, logger.labelled("http"))
    context = ListenerContext(
      options: options, router: router, reactor: reactor, metrics: metrics, errorResponse: errorResponse)
  }

  /// Starts listening.
  ///
  /// - Parameter isFirst: True for this process's first server on the port: fails if another process listens on it.
  /// - Returns: The port.
  @discardableResult
  public func start(isFirst: Bool = true) throws(HTTPServerError) -> UInt16 {
    let address = try ListeningAddress(options.address, port: options.port)
    if isFirst { try address.requireFree() }
    var flags =
      MHD_USE_EPOLL.rawValue | MHD_ALLOW_SUSPEND_RESUME.rawValue | MHD_USE_TURBO.rawValue
      | MHD_ALLOW_UPGRADE.rawValue
    if address.isVersion6 { flags |= MHD_USE_IPv6.rawValue }
    let me = Unmanaged.passUnretained(context).toOpaque()
    var items = listenerOptions(me)
    let new = address.withSocketAddress { pointer in
      items.append(MHD_OptionItem(option: .SOCK_ADDR, value: 0, ptr_value: UnsafeMutableRawPointer(mutating: pointer)))
      items.append(MHD_OptionItem(option: .END, value: 0, ptr_value: nil))
      return annals_mhd_start(UInt32(flags), options.port, onAccess, me, &items)
    }
    guard let new else {
      throw .listening(address: options.address, port: options.port, reason: String(cString: strerror(errno)))
    }
    daemon = new
    do {
      watch = try reactor.watch(annals_mhd_epoll_descriptor(new), for: .readable, label: "http") { [weak self] _ in
        self?.assumeIsolated { $0.turn() }
      }
    } catch {
      MHD_stop_daemon(new)
      daemon = nil
      throw .listening(address: options.address, port: options.port, reason: "\(error)")
    }
    endOfTurn = reactor.atEndOfTurn { [weak self] in self?.assumeIsolated { $0.turnIfNeeded() } ?? false }
    timer = reactor.timer(label: "http clients") { [weak self] in self?.assumeIsolated { $0.lookAfterClients() } }
    timer?.start(after: .milliseconds(250), every: .milliseconds(250))
    return UInt16(annals_mhd_port(new))
  }

  private func listenerOptions(_ me: UnsafeMutableRawPointer) -> [MHD_OptionItem] {
    func item(_ option: MHD_OPTION, _ value: Int, _ pointer: UnsafeMutableRawPointer? = nil) -> MHD_OptionItem {
      MHD_OptionItem(option: option, value: value, ptr_value: pointer)
    }
    return [
      item(.LISTENING_ADDRESS_REUSE, 1), item(.CONNECTION_LIMIT, options.maximumConnections),
      item(.CONNECTION_TIMEOUT, Int(options.idleTimeout.components.seconds)),
      item(.CONNECTION_MEMORY_LIMIT, 32 << 10), item(.LISTEN_BACKLOG_SIZE, 1_024),
      item(.SIGPIPE_HANDLED_BY_APP, 1),
      item(.URI_LOG_CALLBACK, unsafeBitCast(onTarget, to: Int.self), me),
      item(.NOTIFY_COMPLETED, unsafeBitCast(onCompleted, to: Int.self), me),
      item(.NOTIFY_CONNECTION, unsafeBitCast(onConnection, to: Int.self), me),
    ]
  }

  // MARK: Running libmicrohttpd

  private func turn() {
    guard let daemon else { return }
    context.needsTurn = false
    MHD_run(daemon)
  }

  /// Serves connections whose bytes libmicrohttpd has already read: their sockets signal nothing more.
  ///
  /// - Returns: True if there is more to do.
  private func turnIfNeeded() -> Bool {
    guard let daemon else { return false }
    if context.needsTurn || hasMore(daemon) { turn() }
    return context.needsTurn || hasMore(daemon)
  }

  private func hasMore(_ daemon: OpaquePointer) -> Bool {
    var milliseconds: UInt64 = 1
    return MHD_get_timeout(daemon, &milliseconds) == .YES && milliseconds == 0
  }

  // MARK: Clients

  /// Detects clients that have disconnected: libmicrohttpd does not watch suspended connections, so all of them are
  /// polled at once. Also closes connections and cancels handlers that have exceeded their time limit.
  private func lookAfterClients() {
    let now = ContinuousClock.now
    var descriptors: [pollfd] = []
    var clients: [ClientConnection] = []
    for client in context.clients.values {
      if let exchange = client.exchange {
        switch exchange.assumeIsolated({ $0.look(now: now) }) {
        case .nothing: continue
        case .ask: break
        case .close:
          shutdown(client.descriptor, Int32(SHUT_RDWR))
          exchange.assumeIsolated { $0.abandon() }
          continue
        }
      } else if now - client.since > options.idleTimeout {
        shutdown(client.descriptor, Int32(SHUT_RDWR))
        continue
      }
      descriptors.append(pollfd(fd: client.descriptor, events: ANNALS_POLLRDHUP, revents: 0))
      clients.append(client)
    }
    guard !descriptors.isEmpty, poll(&descriptors, nfds_t(descriptors.count), 0) > 0 else { return }
    for (index, descriptor) in descriptors.enumerated() where descriptor.revents != 0 {
      if let exchange = clients[index].exchange {
        exchange.assumeIsolated { $0.abandon() }
      } else {
        // libmicrohttpd misses a FIN that arrived together with data: a new edge makes it read again.
        shutdown(descriptor.fd, Int32(SHUT_RD))
      }
    }
  }

  // MARK: Stopping

  /// Stops accepting connections, waits up to `drainTimeout` for running requests, cancels the rest, and stops.
  public func shutdown() async {
    guard let daemon else { return }
    context.isDraining = true
    // Connections in the backlog are accepted, and what they have sent is read; libmicrohttpd takes about ten at a time.
    for _ in 0..<100 { turn() }
    let listening = MHD_quiesce_daemon(daemon)
    if listening >= 0 {
      Glibc.shutdown(listening, Int32(SHUT_RDWR))
      close(listening)
    }
    let deadline = ContinuousClock.now + options.drainTimeout
    while true {
      for client in context.clients.values where client.exchange == nil && !client.hasSentMore {
        Glibc.shutdown(client.descriptor, Int32(SHUT_RDWR))
      }
      turn()
      if context.clients.isEmpty && !context.hasUpgraded || .now > deadline { break }
      do { try await reactor.sleep(for: .milliseconds(10)) } catch { break }
    }
    abandonAll()
    watch?.cancel()
    endOfTurn?.cancel()
    timer?.cancel()
    (watch, endOfTurn, timer) = (nil, nil, nil)
    self.daemon = nil
    MHD_stop_daemon(daemon)
  }

  /// Resumes every suspended connection: libmicrohttpd aborts the process if one is left when the daemon stops.
  private func abandonAll() {
    context.isStopping = true
    context.cancelUpgraded()
    for client in context.clients.values { client.exchange?.assumeIsolated { $0.abandon() } }
    turn()
  }

  private func shutdown(_ descriptor: Int32, _ how: Int32) { Glibc.shutdown(descriptor, how) }
}

// MARK: Callbacks of libmicrohttpd. Their context is the ListenerContext, which outlives the daemon.

private let onTarget:
  @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, OpaquePointer?)
    -> UnsafeMutableRawPointer? = { context, target, connection in
      let server = Unmanaged<ListenerContext>.fromOpaque(context!).takeUnretainedValue()
      let client = ClientConnection.of(connection)
      let exchange = Exchange(
        target: target.map { String(cString: $0) } ?? "", client: client, server: server)
      client?.exchange = exchange
      return Unmanaged.passRetained(exchange).toOpaque()
    }

private let onAccess: MHD_AccessHandlerCallback = { _, connection, _, method, version, data, count, slot in
  let exchange = Unmanaged<Exchange>.fromOpaque(slot!.pointee!).takeUnretainedValue()
  let bytes = UnsafeRawBufferPointer(start: data, count: count!.pointee)
  let (result, consumed) = exchange.accessed(connection!, method: method!, version: version!, bytes)
  if consumed { count!.pointee = 0 }
  return result
}

private let onCompleted: MHD_RequestCompletedCallback = { _, connection, slot, _ in
  guard let held = slot?.pointee else { return }
  slot?.pointee = nil
  if let client = ClientConnection.of(connection) {
    client.exchange = nil
    client.since = .now
  }
  let exchange = Unmanaged<Exchange>.fromOpaque(held).takeRetainedValue()
  exchange.assumeIsolated { $0.completed() }
}

private let onConnection: MHD_NotifyConnectionCallback = { context, connection, slot, what in
  let server = Unmanaged<ListenerContext>.fromOpaque(context!).takeUnretainedValue()
  if what == .CONNECTION_NOTIFY_STARTED {
    let client = ClientConnection(descriptor: annals_mhd_descriptor(connection))
    slot?.pointee = Unmanaged.passRetained(client).toOpaque()
    server.clients[ObjectIdentifier(client)] = client
  } else if let held = slot?.pointee {
    slot?.pointee = nil
    let client = Unmanaged<ClientConnection>.fromOpaque(held).takeRetainedValue()
    server.clients[ObjectIdentifier(client)] = nil
    // libmicrohttpd closes some connections without a word about their request. The descriptor is another's soon.
    client.exchange?.assumeIsolated { $0.completed() }
    client.exchange = nil
  }
}
