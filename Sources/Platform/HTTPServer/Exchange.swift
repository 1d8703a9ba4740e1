import CMicrohttpd
import Glibc
import Reactor

/// What takes a connection over, on its way through libmicrohttpd.
private final class Upgrade {
  let server: ListenerContext
  let take: @Sendable (UpgradedConnection) async -> Void
  init(server: ListenerContext, take: @escaping @Sendable (UpgradedConnection) async -> Void) {
    (self.server, self.take) = (server, take)
  }
}

/// One request and its answer. libmicrohttpd's callbacks and the handler's task both run on the reactor's loop.
///
/// The handler starts at the request's head. The body is read when the handler asks for it, so a handler that refuses
/// does so before the client is told to send (“100 Continue”). The connection is suspended while it waits for the
/// handler. The event that it waits for resumes it.
actor Exchange {
  private nonisolated let reactor: Reactor
  nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private enum Phase {
    /// The head has not arrived.
    case head
    /// The handler runs. The request has a body that it has not asked for.
    case deciding
    /// The body is being read, for the handler or to be discarded.
    case receiving
    /// The whole request is here.
    case received
    /// The answer was given to libmicrohttpd.
    case sending
    /// The answer was written directly: what still comes is discarded until the client closes.
    case lingering
  }

  private let server: ListenerContext
  private let client: ClientConnection?
  private let target: String
  private let begun = ContinuousClock.now
  private var connection: OpaquePointer?
  private var phase = Phase.head
  private var isSuspended = false
  private var isGone = false

  private var head: RequestHead?
  private var isHead = false
  private var route: Router.Route?
  private var parameters: [String: String] = [:]
  private var requestID = ""
  private var task: Task<Void, Never>?
  private var hasStarted = false
  /// The handler has answered or failed. A streamed answer may still be produced.
  private var hasAnswered = false
  private var answer: Response?
  /// Status of the answer that was sent; nil: none yet.
  private var status: Int?
  /// It lives as long as libmicrohttpd may call it.
  private var upgrade: Upgrade?

  private var upload = Upload(declared: 0)
  private var reader: CheckedContinuation<Void, Never>?
  private var download = Download()
  private var writer: CheckedContinuation<Void, Never>?
  /// Memory that the handler keeps of the body, and all that is accounted for this exchange, in bytes.
  private var reserved = 0
  private var accounted = 0

  private var sendingRate: LeastRate
  private var takingRate: LeastRate
  private var handlerSince = ContinuousClock.now
  private var lingersUntil = ContinuousClock.now

  init(target: String, client: ClientConnection?, server: ListenerContext) {
    (self.target, self.client, self.server) = (target, client, server)
    reactor = server.reactor
    sendingRate = LeastRate(bytesPerSecond: server.options.leastRate, patience: server.options.patience)
    takingRate = sendingRate
  }

  // MARK: Called by libmicrohttpd

  nonisolated func accessed(
    _ connection: OpaquePointer, method: UnsafePointer<CChar>, version: UnsafePointer<CChar>,
    _ data: UnsafeRawBufferPointer
  ) -> (result: MHD_Result, consumed: Bool) {
    // The pointers are valid during this call, which runs on the loop.
    nonisolated(unsafe) let (connection, method, version, data) = (connection, method, version, data)
    return assumeIsolated { $0.access(connection, method: method, version: version, data) }
  }

  private func access(
    _ connection: OpaquePointer, method: UnsafePointer<CChar>, version: UnsafePointer<CChar>,
    _ data: UnsafeRawBufferPointer
  ) -> (result: MHD_Result, consumed: Bool) {
    if isGone || server.isStopping { return (.NO, false) }
    self.connection = connection
    switch phase {
    case .head: return (begin(method: String(cString: method), version: String(cString: version)), false)
    case .deciding: return (decide(), false)
    case .receiving: return data.isEmpty ? (complete(), false) : receive(data)
    case .received: return (complete(), false)
    case .sending: return (.YES, true)
    // The end of the request: every byte was read, so closing does not reset the connection.
    case .lingering: return (data.isEmpty ? .NO : .YES, true)
    }
  }

  private func begin(method: String, version: String) -> MHD_Result {
    let (headers, isFolded) = headersOfConnection()
    requestID = server.requestIDs.next(headers)
    let head: RequestHead
    do throws(RequestHead.Refusal) {
      if isFolded { throw RequestHead.Refusal(reason: "a header is folded over two lines") }
      head = try RequestHead(method: method, version: version, target: target, headers: headers)
    } catch {
      // The bytes that follow may be a body or another request, so the connection ends.
      isHead = method == "HEAD"
      answerDirectly(error.problem.response)
      return .YES
    }
    isHead = head.request.method == .head
    self.head = head
    upload = Upload(declared: head.contentLength)
    let match = server.router.match(head.request)
    if case .route(let route, let parameters) = match {
      (self.route, self.parameters) = (route, parameters)
    } else {
      (answer, hasAnswered) = (Router.answer(match, head.request.method), true)
    }
    guard head.hasBody else {
      // An answer at this point would close the connection: libmicrohttpd calls once more.
      phase = .received
      return .YES
    }
    phase = .deciding
    return decide()
  }

  /// Still at the head: starts the handler, and goes on to the body if the handler wants it.
  private func decide() -> MHD_Result {
    start()
    if let answer { return answerEarly(answer) }
    if upload.demand != .nothing {
      phase = .receiving
    } else {
      suspend()
    }
    return .YES
  }

  /// The answer is ready before the body was read.
  private func answerEarly(_ response: Response) -> MHD_Result {
    guard let head else { return .NO }
    if head.expectsContinue { return queue(response) }
    phase = .receiving
    if !upload.discardRest() { answerDirectly(response) }
    return .YES
  }

  private func receive(_ data: UnsafeRawBufferPointer) -> (MHD_Result, consumed: Bool) {
    let receipt = upload.receive(data, spare: server.memory.spare)
    account()
    wakeReader()
    switch receipt {
    case .taken: return (.YES, true)
    case .takenPause:
      suspend()
      return (.YES, true)
    case .pause:
      suspend()
      return (.YES, false)
    case .tooMuchToDiscard:
      // A handler that has not answered yet learns of its failure from `next` and answers then.
      if let answer {
        answerDirectly(answer)
        return (.YES, true)
      }
      return (hasAnswered ? .NO : .YES, true)
    }
  }

  /// Called when the whole request has been received, and each time the connection is resumed after that.
  private func complete() -> MHD_Result {
    if case .receiving = phase {
      phase = .received
      upload.end()
      wakeReader()
    }
    start()
    if let answer { return queue(answer) }
    suspend()
    return .YES
  }

  /// libmicrohttpd 0.9.75 glues the second line of a folded header to its name, which may give another name. It moves the
  /// name upwards in memory for that, so a value that lies below its name shows it.
  private func headersOfConnection() -> (Headers, isFolded: Bool) {
    var found = (headers: Headers(), isFolded: false)
    withUnsafeMutablePointer(to: &found) { pointer in
      _ = MHD_get_connection_values(
        connection, .HEADER_KIND,
        { context, _, name, value in
          guard let name else { return .YES }
          let found = context!.assumingMemoryBound(to: (headers: Headers, isFolded: Bool).self)
          if let value, value < name { found.pointee.isFolded = true }
          found.pointee.headers.append(String(cString: name), value.map { String(cString: $0) } ?? "")
          return .YES
        }, pointer)
    }
    return (found.headers, found.isFolded)
  }

  // MARK: Suspending

  private func suspend() {
    guard !isSuspended, let connection else { return }
    isSuspended = true
    MHD_suspend_connection(connection)
  }

  private func resume() {
    guard isSuspended, let connection else { return }
    isSuspended = false
    MHD_resume_connection(connection)
    server.wasResumed()
  }

  // MARK: The handler

  private func start() {
    guard !hasStarted, !hasAnswered, let route, var request = head?.request else { return }
    hasStarted = true
    request.parameters = parameters
    request.body = head?.hasBody == true ? RequestBody(of: self, length: upload.declared) : .empty
    request.clientAddress = clientAddress
    request.id = requestID
    handlerSince = .now
    server.began()
    let handler = route.handler
    let errorResponse = server.errorResponse
    let task = Task.immediate(executorPreference: reactor) { [request] in
      let response: Response
      do { response = try await handler(request) } catch { response = errorResponse(error, request) }
      self.didAnswer(response)
      if case .stream(_, let produce) = response.body, request.method != .head {
        do {
          try await produce(BodyWriter(exchange: self))
          self.didWriteBody(failed: false)
        } catch {
          self.didWriteBody(failed: true)
        }
      }
    }
    if !isGone { self.task = task }
  }

  /// Reports from the handler's task. The task runs on the reactor, so no executor change is needed.
  private nonisolated func didAnswer(_ response: Response) { assumeIsolated { $0.handlerAnswered(response) } }
  private nonisolated func didWriteBody(failed: Bool) { assumeIsolated { $0.bodyWritten(failed: failed) } }

  private func handlerAnswered(_ response: Response) {
    server.ended()
    hasAnswered = true
    guard !isGone else {
      // The handler held it until now.
      reserved = 0
      return account()
    }
    answer = response.checked
    // libmicrohttpd calls again only when more of the body arrives, and takes no answer before its end.
    if case .receiving = phase, !upload.discardRest() { answerDirectly(response.checked) }
    account()
    resume()
  }

  private func queue(_ response: Response) -> MHD_Result {
    let made: OpaquePointer?
    switch response.body {
    case .bytes(let bytes):
      made = bytes.withUnsafeBytes {
        MHD_create_response_from_buffer(
          $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
      }
    case .stream(let length, _):
      made = MHD_create_response_from_callback(
        length.map(UInt64.init) ?? ANNALS_MHD_SIZE_UNKNOWN, 64 << 10,
        { context, _, buffer, count in
          let exchange = Unmanaged<Exchange>.fromOpaque(context!).takeUnretainedValue()
          nonisolated(unsafe) let space = UnsafeMutableRawBufferPointer(start: buffer, count: count)
          return exchange.assumeIsolated { $0.produce(into: space) }
        }, Unmanaged.passRetained(self).toOpaque(), { Unmanaged<Exchange>.fromOpaque($0!).release() })
    case .upgrade where server.upgradedCount >= server.options.maximumConnections * 4:
      // They count no more as connections.
      return queue(
        Problem(503, "Too many sockets", detail: "try again later", headers: [("Retry-After", "5")]).response)
    case .upgrade(let take):
      // libmicrohttpd closes its descriptor: the taker has another one for the same connection.
      let upgrade = Upgrade(server: server, take: take)
      self.upgrade = upgrade
      made = MHD_create_response_for_upgrade(
        { context, _, _, extra, count, descriptor, handle in
          let upgrade = Unmanaged<Upgrade>.fromOpaque(context!).takeUnretainedValue()
          let bytes = extra.map { Array(UnsafeRawBufferPointer(start: $0, count: count)) } ?? []
          let own = dup(descriptor)
          annals_mhd_close_upgraded(handle)
          if own >= 0 { upgrade.server.upgraded(UpgradedConnection(descriptor: own, extra: bytes), upgrade.take) }
        }, Unmanaged.passUnretained(upgrade).toOpaque())
    }
    guard let made else { return .NO }
    defer { MHD_destroy_response(made) }
    // libmicrohttpd 0.9.75 ends a chunked answer to HEAD with a chunk, which the next answer would begin with. Without
    // chunks the connection is closed instead.
    if isHead, case .stream(nil, _) = response.body { annals_mhd_without_chunks(made) }
    for (name, value) in response.headers { MHD_add_response_header(made, name, value) }
    MHD_add_response_header(made, RequestIDs.header, requestID)
    if server.isDraining { MHD_add_response_header(made, "Connection", "close") }
    phase = .sending
    note(response.status)
    return MHD_queue_response(connection, UInt32(response.status), made)
  }

  /// Answers past libmicrohttpd, in the middle of a body. What still comes is discarded.
  private func answerDirectly(_ response: Response) {
    var response = response
    response.headers.append((RequestIDs.header, requestID))
    guard let client, let direct = DirectAnswer(response, isHead: isHead) else {
      return abandon()
    }
    direct.write(to: client.descriptor)
    phase = .lingering
    lingersUntil = .now + server.options.lingerTimeout
    note(response.status)
    resume()
  }

  private func note(_ status: Int) {
    answer = nil
    self.status = status
    server.answered(route: route, status: status, after: .now - begun)
  }

  // MARK: The request's body

  func ask(_ demand: Upload.Demand, upTo limit: Int) throws(Problem) {
    try upload.ask(demand, upTo: limit)
    if case .deciding = phase { resume() }
  }

  /// The next piece of the body; nil at its end.
  func nextPiece() async throws -> [UInt8]? {
    while true {
      if isGone { throw ClientGone() }
      switch try upload.next() {
      case .chunk(let chunk):
        handlerSince = .now
        if upload.demand == .whole { reserved += chunk.count }
        account()
        if case .receiving = phase, upload.wantsMore { resume() }
        return chunk
      case .end: return nil
      case .wait:
        try Task.checkCancellation()
        await withTaskCancellationHandler {
          await withCheckedContinuation { continuation in
            reader = continuation
            // An event before this line found no reader to wake.
            if Task.isCancelled || isGone || upload.hasNext { wakeReader() }
          }
        } onCancel: {
          reactor.post { self.assumeIsolated { $0.wakeReader() } }
        }
        handlerSince = .now
      }
    }
  }

  /// Counts memory that the handler keeps until the request has ended.
  func reserve(_ bytes: Int) throws(Problem) {
    // The handler of a client that has gone ends soon; nothing would free what it reserves.
    if isGone { return }
    guard bytes <= server.memory.spare else { throw .memory }
    reserved += bytes
    account()
  }

  private func account() {
    let total = upload.buffered + reserved
    server.memory.change(by: total - accounted)
    accounted = total
  }

  private func wakeReader() {
    reader?.resume()
    reader = nil
  }

  // MARK: A streamed answer

  func write(_ bytes: [UInt8]) async throws {
    guard !isGone else { throw ClientGone() }
    try Task.checkCancellation()
    download.append(bytes)
    if case .sending = phase { resume() }
    while download.isFull, !isGone {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          writer = continuation
          if Task.isCancelled || isGone || !download.isFull { wakeWriter() }
        }
      } onCancel: {
        reactor.post { self.assumeIsolated { $0.wakeWriter() } }
      }
      try Task.checkCancellation()
    }
    if isGone { throw ClientGone() }
  }

  private func wakeWriter() {
    writer?.resume()
    writer = nil
  }

  private func bodyWritten(failed: Bool) {
    download.end(failed: failed)
    if case .sending = phase { resume() }
  }

  private func produce(into space: UnsafeMutableRawBufferPointer) -> Int {
    if isGone || download.hasFailed { return ANNALS_MHD_END_WITH_ERROR }
    let count = download.take(into: space)
    guard count > 0 else {
      if download.isWritten { return ANNALS_MHD_END_OF_STREAM }
      suspend()
      return 0
    }
    if download.hasRoom { wakeWriter() }
    return count
  }

  // MARK: The end

  /// libmicrohttpd has finished the request, with or without an answer.
  func completed() {
    abandon()
    connection = nil
    server.observe?(
      AnsweredRequest(
        id: requestID, method: head?.request.method.rawValue ?? "-", target: target, address: clientAddress,
        status: status, duration: .now - begun))
  }

  private var clientAddress: String {
    server.options.trustedProxies.client(of: client?.address ?? "", head?.request.headers.fields ?? [])
  }

  /// Cancels the handler and the producer, and lets libmicrohttpd close the connection: no client waits any more.
  func abandon() {
    isGone = true
    task?.cancel()
    task = nil
    wakeReader()
    wakeWriter()
    _ = upload.discardRest()
    // A handler that still runs holds what it has taken.
    if !hasStarted || hasAnswered { reserved = 0 }
    account()
    resume()
  }

  // MARK: Time limits

  enum Look {
    case nothing
    /// The client is too slow, or has had its time.
    case close
    /// The client may have gone without a sign: libmicrohttpd does not watch suspended connections.
    case ask
  }

  /// Looks at the time limits; several times a second.
  func look(now: ContinuousClock.Instant) -> Look {
    if hasStarted, !hasAnswered {
      // While the handler waits for the client, the client's limits apply.
      if reader != nil { handlerSince = now }
      if now - handlerSince > server.options.handlerTimeout { task?.cancel() }
    }
    switch phase {
    case .head:
      if now - begun > server.options.headTimeout {
        return timedOut("the head of the request took longer than \(server.options.headTimeout)")
      }
    case .receiving where upload.demand == .whole && answer == nil && now - begun > wholeBodyLimit:
      return timedOut("the body took longer than \(wholeBodyLimit)")
    case .receiving where !isSuspended:
      if !sendingRate.look(moved: upload.received, now: now) {
        return timedOut(
          "the body came too slowly; at least \(server.options.leastRate) bytes in a second are needed")
      }
    case .receiving, .deciding, .received: sendingRate.rest()
    case .sending:
      if let client, !client.keepsUp() {
        if !takingRate.look(moved: client.taken, now: now) { return .close }
      } else {
        takingRate.rest()
      }
    case .lingering:
      if now > lingersUntil { return .close }
    }
    return isSuspended ? .ask : .nothing
  }

  /// A body in memory keeps others from the memory, so the least rate alone would let it arrive for hours.
  private var wholeBodyLimit: Duration {
    server.options.handlerTimeout + .seconds((upload.declared ?? upload.received) / (64 << 10))
  }

  private func timedOut(_ detail: String) -> Look {
    // An answer that only waited for the rest of the body is given first.
    let response = answer ?? Problem(408, "Request timeout", detail: detail).response
    guard let client, status == nil, let direct = DirectAnswer(response, isHead: isHead) else { return .close }
    direct.write(to: client.descriptor)
    note(response.status)
    task?.cancel()
    phase = .lingering
    // Long enough for a client that is still sending to read the answer.
    lingersUntil = .now + min(server.options.lingerTimeout, .seconds(2))
    return .nothing
  }
}
