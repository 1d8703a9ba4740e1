import CMicrohttpd
import Reactor

/// One request and its response. Both libmicrohttpd's callbacks and the handler's task run on the reactor's loop.
///
/// The connection is suspended while it waits for the handler. The event that it waits for resumes it.
actor Exchange {
  private nonisolated let reactor: Reactor
  nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  private enum Phase {
    case head
    case collecting(limit: Int)
    /// The handler is running and has not requested the body yet.
    case held
    case streaming
    /// The response is ready before the end of the body: the rest is read and discarded.
    case discarding
    case waiting
    case answered
  }

  enum Suspension { case none, forAnswer, forReader, forWriter }

  static let highWater = 256 << 10
  static let lowWater = 64 << 10
  /// Limit on the bytes that are read and discarded, so that the client finishes sending and reads the response.
  static let maximumDiscarded = 8 << 20

  private let server: ListenerContext
  private let target: String
  private let clientAddress: String
  private var connection: OpaquePointer?
  private var phase = Phase.head
  private(set) var suspension = Suspension.none
  private var isGone = false
  private var hasEnded = false
  private(set) var since = ContinuousClock.now
  private var head: RequestHead?
  private var route: Router.Route?
  private var parameters: [String: String] = [:]
  private var received = 0
  private var collected: [UInt8] = []
  private var form: FormReader?
  private var task: Task<Void, Never>?
  private var answer: Response?

  // A streamed request body.
  private var limit = 0
  private var chunks: [[UInt8]] = []
  private var chunkBytes = 0
  private var isBodyComplete = false
  private var bodyError: (any Error)?
  private var reader: CheckedContinuation<Void, Never>?

  // A streamed response body.
  private var outgoing: [UInt8] = []
  private var sent = 0
  private var isWritten = false
  private var writeFailed = false
  private var writer: CheckedContinuation<Void, Never>?

  init(target: String, clientAddress: String, server: ListenerContext) {
    (self.target, self.clientAddress, self.server) = (target, clientAddress, server)
    reactor = server.reactor
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
    case .held where !data.isEmpty && answer == nil:
      suspend(.forReader)
      return (.YES, false)
    default: break
    }
    return data.isEmpty ? (complete(), false) : (receive(data), true)
  }

  private func begin(method: String, version: String) -> MHD_Result {
    let head: RequestHead
    do {
      head = try RequestHead(
        method: method, version: version, target: target, headers: headersOfConnection())
    } catch {
      var response = Problem(400, "Bad request", detail: error.reason).response
      response.headers.append(("Connection", "close"))
      return queue(response)
    }
    self.head = head
    let match = server.router.match(head.request.method, head.request.path)
    if case .route(let route, let parameters) = match {
      self.route = route
      self.parameters = parameters
      admit(route, head)
    } else if let answer = Router.answer(match, head.request.method) {
      refuse(answer)
    }
    // A refusal before a large body, or a body that waits for “100 Continue”, is sent at once. libmicrohttpd then
    // closes the connection instead of reading the body.
    if case .discarding = phase, head.expectsContinue || (head.contentLength ?? .max) > Self.maximumDiscarded {
      guard let answer else { return .NO }
      return queue(answer)
    }
    return .YES
  }

  private func admit(_ route: Router.Route, _ head: RequestHead) {
    switch route.body {
    case .none:
      guard !head.hasBody else {
        return refuse(Problem(400, "Bad request", detail: "this request must not have a body").response)
      }
      phase = .collecting(limit: 0)
    case .collect(let limit):
      guard (head.contentLength ?? 0) <= limit else { return refuse(tooLarge(limit).response) }
      phase = .collecting(limit: limit)
      if let connection, let type = head.request.headers["Content-Type"], FormReader.reads(type) {
        form = FormReader(connection)
      }
    case .stream(let limit):
      guard (head.contentLength ?? 0) <= limit else { return refuse(tooLarge(limit).response) }
      self.limit = limit
      phase = head.hasBody ? .held : .streaming
      isBodyComplete = !head.hasBody
      start(body: head.hasBody ? .stream(BodyStream(exchange: self)) : .empty)
    }
  }

  private func tooLarge(_ limit: Int) -> Problem {
    Problem(413, "Content too large", detail: "the body may have at most \(limit) bytes")
  }

  private func refuse(_ response: Response) {
    answer = response
    phase = .discarding
    collected = []
    form = nil
    received = 0
  }

  private func receive(_ data: UnsafeRawBufferPointer) -> MHD_Result {
    received += data.count
    switch phase {
    case .collecting(let limit):
      guard received <= limit else {
        refuse(tooLarge(limit).response)
        return .YES
      }
      if let form { form.feed(data) } else { collected.append(contentsOf: data) }
      return .YES
    case .streaming where answer == nil && bodyError == nil:
      guard received <= limit else {
        bodyError = tooLarge(limit)
        chunks = []
        wakeReader()
        return .YES
      }
      chunks.append(Array(data))
      chunkBytes += data.count
      wakeReader()
      if chunkBytes >= Self.highWater { suspend(.forReader) }
      return .YES
    default: return received <= Self.maximumDiscarded ? .YES : .NO
    }
  }

  /// Called when the whole request has been received, and each time the connection is resumed after that.
  private func complete() -> MHD_Result {
    if let answer { return queue(answer) }
    switch phase {
    case .collecting:
      phase = .waiting
      if let form {
        guard let parts = form.finish() else {
          return queue(Problem(400, "Bad request", detail: "the form is malformed").response)
        }
        start(body: .form(parts))
      } else {
        let bytes = collected
        collected = []
        start(body: bytes.isEmpty ? .empty : .bytes(bytes))
      }
      if let answer { return queue(answer) }
    case .held, .streaming:
      phase = .waiting
      isBodyComplete = true
      wakeReader()
    default: break
    }
    suspend(.forAnswer)
    return .YES
  }

  private func headersOfConnection() -> Headers {
    var headers = Headers()
    withUnsafeMutablePointer(to: &headers) { pointer in
      _ = MHD_get_connection_values(
        connection, .HEADER_KIND,
        { context, _, name, value in
          guard let name else { return .YES }
          context!.assumingMemoryBound(to: Headers.self).pointee
            .append(String(cString: name), value.map { String(cString: $0) } ?? "")
          return .YES
        }, pointer)
    }
    return headers
  }

  // MARK: Suspending

  private func suspend(_ reason: Suspension) {
    guard suspension == .none, let connection else { return }
    suspension = reason
    MHD_suspend_connection(connection)
  }

  private func resume() {
    guard suspension != .none, let connection else { return }
    suspension = .none
    MHD_resume_connection(connection)
    server.wasResumed()
  }

  // MARK: The handler

  private func start(body: RequestBody) {
    guard let route, var request = head?.request else { return }
    request.parameters = parameters
    request.body = body
    request.clientAddress = clientAddress
    since = .now
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
    if !hasEnded { self.task = task }
  }

  /// Reports from the handler's task. The task runs on the reactor, so no executor change is needed.
  private nonisolated func didAnswer(_ response: Response) { assumeIsolated { $0.handlerAnswered(response) } }
  private nonisolated func didWriteBody(failed: Bool) { assumeIsolated { $0.bodyWritten(failed: failed) } }

  private func handlerAnswered(_ response: Response) {
    server.ended(route: route, status: response.status, after: .now - since)
    hasEnded = true
    guard !isGone else { return }
    answer = response
    if case .held = phase { phase = .discarding }
    if case .streaming = phase, !isBodyComplete {
      phase = .discarding
      received = 0
    }
    chunks = []
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
    }
    guard let made else { return .NO }
    defer { MHD_destroy_response(made) }
    for (name, value) in response.headers { MHD_add_response_header(made, name, value) }
    if server.isDraining { MHD_add_response_header(made, "Connection", "close") }
    phase = .answered
    answer = nil
    return MHD_queue_response(connection, UInt32(response.status), made)
  }

  // MARK: A streamed request body

  func nextChunk() async throws -> [UInt8]? {
    if case .held = phase {
      phase = .streaming
      resume()
    }
    while true {
      if !chunks.isEmpty {
        let chunk = chunks.removeFirst()
        chunkBytes -= chunk.count
        if suspension == .forReader, chunkBytes <= Self.lowWater { resume() }
        return chunk
      }
      if let bodyError { throw bodyError }
      if isGone { throw ClientGone() }
      if isBodyComplete { return nil }
      try Task.checkCancellation()
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          reader = continuation
          // A cancellation before this line found no reader to wake.
          if Task.isCancelled { wakeReader() }
        }
      } onCancel: {
        reactor.post { self.assumeIsolated { $0.wakeReader() } }
      }
    }
  }

  private func wakeReader() {
    reader?.resume()
    reader = nil
  }

  // MARK: A streamed response body

  func write(_ bytes: [UInt8]) async throws {
    guard !isGone else { throw ClientGone() }
    try Task.checkCancellation()
    outgoing.append(contentsOf: bytes)
    if suspension == .forWriter { resume() }
    while outgoing.count - sent >= Self.highWater, !isGone {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          writer = continuation
          if Task.isCancelled { wakeWriter() }
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
    isWritten = true
    writeFailed = failed
    if suspension == .forWriter { resume() }
  }

  private func produce(into space: UnsafeMutableRawBufferPointer) -> Int {
    if isGone || writeFailed { return ANNALS_MHD_END_WITH_ERROR }
    let count = min(space.count, outgoing.count - sent)
    guard count > 0 else {
      if isWritten { return ANNALS_MHD_END_OF_STREAM }
      suspend(.forWriter)
      return 0
    }
    outgoing.withUnsafeBytes { space.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[sent..<sent + count])) }
    sent += count
    if sent == outgoing.count {
      outgoing.removeAll(keepingCapacity: true)
      sent = 0
    }
    if outgoing.count - sent <= Self.lowWater { wakeWriter() }
    return count
  }

  // MARK: The end

  /// libmicrohttpd has finished the request, with or without a response.
  func completed() {
    abandon()
    connection = nil
  }

  /// Cancels the handler and lets libmicrohttpd close the connection: no client waits for the response any more.
  func abandon() {
    isGone = true
    task?.cancel()
    task = nil
    wakeReader()
    wakeWriter()
    resume()
  }

  /// Cancels the handler. It can still send a response.
  func cancelHandler() { task?.cancel() }

  var isRunning: Bool { task != nil && !hasEnded }
  var isReceiving: Bool {
    switch phase {
    case .collecting, .streaming, .discarding: true
    default: false
    }
  }
}
