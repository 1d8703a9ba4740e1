import CLibpq
import Glibc
public import Logging
public import Reactor

/// A connection for one task: for scripts, COPY and replication, which cannot use a shared pipeline.
///
/// Use it on its reactor's loop, by one task at a time. The compiler keeps it in the isolation that created it.
public final class PostgresSession {
  let handle: Handle
  public let host: String
  private let reactor: Reactor
  private let doorbell: Doorbell
  private var watch: Watch?
  private let timeout: Duration
  /// True if a copy ended right after messages that were handed over first. The next call then returns nil.
  private var copyHasEnded = false
  private var eagerReads = 0

  static let maximumEagerReads = 8

  /// Connects, on the loop.
  public static func connect(
    _ options: PostgresOptions, replication: Bool = false, on reactor: Reactor, logger: Logger
  ) async throws(PostgresError) -> PostgresSession {
    let box = try await Postgres.connect(options, replication: replication, on: reactor)
    let session = PostgresSession(handle: box.take(), options: options, reactor: reactor)
    session.handle.sendNotices(to: logger)
    return session
  }

  /// Connects, lends the session to `body` and closes it.
  public static func with<Value>(
    _ options: PostgresOptions, replication: Bool = false, on reactor: Reactor, logger: Logger,
    _ body: (PostgresSession) async throws -> Value
  ) async throws -> Value {
    let session = try await connect(options, replication: replication, on: reactor, logger: logger)
    defer { session.close() }
    return try await body(session)
  }

  private init(handle: consuming Handle, options: PostgresOptions, reactor: Reactor) {
    host = handle.host
    self.handle = handle
    self.reactor = reactor
    doorbell = Doorbell(on: reactor)
    timeout = options.statementTimeout + options.margin
  }

  // Whoever leaves it by an error may not have closed it.
  deinit {
    guard let watch else { return }
    if reactor.isCurrent { return close() }
    nonisolated(unsafe) let last = watch
    reactor.post { last.cancel() }
  }

  /// Closes the connection, on the loop.
  public func close() {
    watch?.cancel()
    watch = nil
    doorbell.close()
  }

  // MARK: Waiting

  private func wait(
    for interest: Readiness, _ operation: String, until deadline: ContinuousClock.Instant
  ) async throws(PostgresError) {
    switch try await ready(for: interest, timeout: deadline - .now) {
    case .rung: return
    case .timedOut: throw .timedOut(host: host, operation: operation, after: timeout)
    case .cancelled: throw .cancelled
    }
  }

  private func ready(
    for interest: Readiness, timeout: Duration
  ) async throws(PostgresError) -> Doorbell.Outcome {
    do {
      if watch == nil {
        let doorbell = doorbell
        // A descriptor of the watch's own: libpq closes the other one when the session is dropped, and libuv ends the process
        // without a word if it is to watch one that is closed.
        let own = dup(PQsocket(handle.pointer))
        watch = try reactor.watch(own, isOwned: true, for: [], label: "postgres session") { [weak self] _ in
          // Stop watching until a task waits again: unread input stays in the socket.
          self?.watch?.update([])
          doorbell.ring()
        }
      }
    } catch { throw .connectionLost(host: host, reason: "\(error)") }
    watch?.update(interest)
    return await doorbell.wait(timeout: max(.zero, timeout))
  }

  private func flush(_ operation: String, until deadline: ContinuousClock.Instant) async throws(PostgresError) {
    while true {
      switch PQflush(handle.pointer) {
      case 0: return
      case 1:
        // The server may not read because its own output is blocked, so read as well.
        try await wait(for: [.readable, .writable], operation, until: deadline)
        try consume()
      default: throw .connectionLost(host: host, reason: handle.problem)
      }
    }
  }

  private func consume() throws(PostgresError) {
    guard PQconsumeInput(handle.pointer) == 1 else { throw .connectionLost(host: host, reason: handle.problem) }
  }

  // MARK: Statements

  /// Runs a script of one or more statements without parameters, in one transaction unless it says otherwise, and
  /// returns the last statement's rows in text form.
  ///
  /// - Parameter isPatient: Waits as long as the server works, for a command without a time limit on the server.
  @discardableResult
  public func execute(
    _ script: String, name: String = "a script", isPatient: Bool = false
  ) async throws(PostgresError) -> [[String?]] {
    guard PQsendQuery(handle.pointer, script) == 1 else {
      throw .connectionLost(host: host, reason: handle.problem)
    }
    var rows: [[String?]] = []
    try await results(name, within: isPatient ? Self.forever : nil) { result in
      rows = (0..<PQntuples(result)).map { row in
        (0..<PQnfields(result)).map { column in
          PQgetisnull(result, row, column) == 1 ? nil : String(cString: PQgetvalue(result, row, column))
        }
      }
    }
    return rows
  }

  /// Runs one statement.
  @discardableResult
  public func query(_ query: Query, _ parameters: [Parameter] = []) async throws(PostgresError) -> Rows {
    let sent = EncodedParameters(parameters).withPointers { count, values, lengths, formats in
      PQsendQueryParams(handle.pointer, query.text, count, nil, values, lengths, formats, 1)
    }
    guard sent == 1 else { throw .connectionLost(host: host, reason: handle.problem) }
    var rows: Rows?
    try await results(query.name) { rows = Rows(copying: $0) }
    guard let rows else { throw .connectionLost(host: host, reason: "no result of \(query.name)") }
    return rows
  }

  /// Takes all results of the statements sent. Throws the first error after the connection is ready for more.
  private func results(
    _ name: String, within limit: Duration? = nil, _ take: (OpaquePointer) -> Void
  ) async throws(PostgresError) {
    let deadline = ContinuousClock.now + (limit ?? timeout)
    try await flush(name, until: deadline)
    var failure: PostgresError?
    while let result = try await nextResult(name, until: deadline) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: take(result)
      case PGRES_COPY_OUT, PGRES_COPY_IN, PGRES_COPY_BOTH: return take(result)
      default: failure = failure ?? .server(.init(result: result, query: name))
      }
    }
    if let failure { throw failure }
    guard PQstatus(handle.pointer) == CONNECTION_OK else {
      throw .connectionLost(host: host, reason: handle.problem)
    }
  }

  private func nextResult(
    _ name: String, until deadline: ContinuousClock.Instant
  ) async throws(PostgresError) -> OpaquePointer? {
    while PQisBusy(handle.pointer) == 1 {
      try await wait(for: .readable, name, until: deadline)
      try consume()
    }
    return PQgetResult(handle.pointer)
  }

  // MARK: COPY

  /// Runs a `copy … to stdout` and hands over each row as the server sent it.
  ///
  /// - Parameters:
  ///   - isPatient: Waits as long as the server works, for a statement without a time limit on the server.
  ///   - pause: Called after each megabyte at most, and about every second while no row comes. The server waits meanwhile.
  public func copyOut(
    _ query: Query, isPatient: Bool = false, pause: () async throws -> Void = {},
    _ row: (UnsafeRawBufferPointer) -> Void
  ) async throws {
    guard PQsendQuery(handle.pointer, query.text) == 1 else {
      throw PostgresError.connectionLost(host: host, reason: handle.problem)
    }
    do {
      try await results(query.name, within: isPatient ? Self.forever : nil) { _ in }
      while let count = try await receiveCopyData(query.name, timeout: isPatient ? .seconds(1) : timeout, row) {
        guard count > 0 || isPatient else {
          throw PostgresError.timedOut(host: host, operation: query.name, after: timeout)
        }
        try await pause()
      }
      try await results(query.name) { _ in }
    } catch {
      // The server would sort on for minutes, with the session's locks, before it notices that nobody listens.
      await cancelStatement()
      throw error
    }
  }

  private static let forever = Duration.seconds(10 * 365 * 86_400)

  /// Ends the statement that the server works on, if there is one.
  private func cancelStatement() async {
    guard PQtransactionStatus(handle.pointer) == PQTRANS_ACTIVE, let request = PQgetCancel(handle.pointer) else {
      return
    }
    let box = CancelRequest(pointer: request)
    await Reactor.offLoop(.remote) {
      var message = [CChar](repeating: 0, count: 256)
      _ = PQcancel(box.pointer, &message, Int32(message.count))
      PQfreeCancel(box.pointer)
    }
  }

  private struct CancelRequest: @unchecked Sendable {  // unchecked: handed over once, to the thread that frees it
    let pointer: OpaquePointer
  }

  /// Runs a `copy … from stdin` with the bytes that `next` returns until it returns nil.
  @discardableResult
  public func copyIn(_ query: Query, _ next: () -> [UInt8]?) async throws(PostgresError) -> Int {
    guard PQsendQuery(handle.pointer, query.text) == 1 else {
      throw .connectionLost(host: host, reason: handle.problem)
    }
    try await results(query.name) { _ in }
    while let bytes = next() {
      let sent = bytes.withUnsafeBytes {
        PQputCopyData(handle.pointer, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
      }
      guard sent == 1 else { throw .connectionLost(host: host, reason: handle.problem) }
      try await flush(query.name, until: .now + timeout)
    }
    guard PQputCopyEnd(handle.pointer, nil) == 1 else {
      throw .connectionLost(host: host, reason: handle.problem)
    }
    var affected = 0
    try await results(query.name) { affected = Rows(copying: $0).affected }
    return affected
  }

  /// Waits for copy data and hands over the available messages, about one megabyte at most.
  ///
  /// - Returns: The number of messages handed over. 0: none came within `timeout`. nil: the copy has ended.
  func receiveCopyData(
    _ name: String, timeout: Duration, _ body: (UnsafeRawBufferPointer) -> Void
  ) async throws(PostgresError) -> Int? {
    if copyHasEnded {
      copyHasEnded = false
      return nil
    }
    var messages = 0
    var bytes = 0
    var hasLooked = false
    while bytes < 1 << 20 {
      var buffer: UnsafeMutablePointer<CChar>?
      let count = PQgetCopyData(handle.pointer, &buffer, 1)
      if count > 0, let buffer {
        body(UnsafeRawBufferPointer(start: buffer, count: Int(count)))
        PQfreemem(buffer)
        messages += 1
        bytes += Int(count)
        continue
      }
      if count == -1, messages > 0 { copyHasEnded = true }
      if messages > 0, count >= -1 { return messages }
      switch count {
      case 0:
        // A server that is busy sending probably has more data by now, and reading the socket is cheaper than a turn
        // of the loop. A limit makes sure that the loop still gets its turns.
        if !hasLooked, eagerReads < Self.maximumEagerReads {
          hasLooked = true
          eagerReads += 1
          try consume()
          continue
        }
        eagerReads = 0
        switch try await ready(for: .readable, timeout: timeout) {
        case .rung: try consume()
        case .timedOut: return 0
        case .cancelled: throw .cancelled
        }
      case -1: return nil
      default: throw .connectionLost(host: host, reason: handle.problem)
      }
    }
    return messages
  }

  /// Ends this side of a copy in both directions: nothing more is sent.
  func sendEndOfCopy() async throws(PostgresError) {
    guard PQputCopyEnd(handle.pointer, nil) == 1 else {
      throw .connectionLost(host: host, reason: handle.problem)
    }
    try await flush("the end of a copy", until: .now + timeout)
  }

  /// Sends one message of a copy in both directions.
  func sendCopyData(_ bytes: [UInt8]) async throws(PostgresError) {
    let sent = bytes.withUnsafeBytes {
      PQputCopyData(handle.pointer, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count))
    }
    guard sent == 1 else { throw .connectionLost(host: host, reason: handle.problem) }
    try await flush("status update", until: .now + timeout)
  }

  /// Throws the error with which the server ended a copy, if there is one.
  func endOfCopy(_ name: String) async throws(PostgresError) {
    try await results(name) { _ in }
  }
}
