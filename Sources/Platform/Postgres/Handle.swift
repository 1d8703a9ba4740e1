import CLibpq
import Logging
import Reactor
import Time

/// The only holder of a libpq connection.
struct Handle: ~Copyable {
  let pointer: OpaquePointer
  let host: String

  private init(pointer: OpaquePointer) {
    self.pointer = pointer
    let host = PQhost(pointer).map { String(cString: $0) } ?? ""
    let port = PQport(pointer).map { String(cString: $0) } ?? ""
    self.host = host.isEmpty ? "its configured address" : host.hasPrefix("/") ? host : "\(host):\(port)"
  }

  /// Starts to connect. This may read files, which blocks, so do not call it on a loop.
  ///
  /// - Parameter overrides: Settings that replace those of the connection string.
  static func start(
    _ options: PostgresOptions, to url: String, replication: Bool, _ overrides: [String: String]
  ) throws(PostgresError) -> Handle {
    var settings = [
      "dbname": url,
      "fallback_application_name": options.applicationName,
      "client_encoding": "UTF8",
      "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
      "tcp_user_timeout": "30000",
    ]
    // Fixed text forms of values, independent of the database's settings.
    var parameters =
      "-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1"
    // The server notices within a minute that this host is gone, and gives up its locks.
    parameters += " -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    if replication {
      settings["replication"] = "database"
    } else {
      parameters += " -c statement_timeout=\(options.statementTimeout.inMilliseconds)"
    }
    // A replication connection never goes through a pooler.
    if options.setsSession || replication { settings["options"] = parameters }
    settings.merge(overrides) { $1 }
    // “dbname” comes first: it is expanded as a connection string, and later settings override its parts.
    let names = settings.keys.sorted { ($0 == "dbname" ? 0 : 1, $0) < ($1 == "dbname" ? 0 : 1, $1) }
    let pointer = withCStrings(names) { keywords in
      withCStrings(names.map { settings[$0] ?? "" }) { values in PQconnectStartParams(keywords, values, 1) }
    }
    guard let pointer else { throw .connecting(host: "?", reason: "out of memory") }
    let handle = Handle(pointer: pointer)
    guard PQstatus(pointer) != CONNECTION_BAD else {
      throw .connecting(host: handle.host, reason: handle.problem)
    }
    return handle
  }

  deinit { PQfinish(pointer) }

  /// Finishes connecting, on the loop. After that no call on the connection blocks.
  func finishConnecting(within timeout: Duration, on reactor: Reactor) async throws(PostgresError) {
    let doorbell = Doorbell(on: reactor)
    defer { doorbell.close() }
    let deadline = ContinuousClock.now + timeout
    // As libpq documents: before the first poll, act as if the last one had returned “writing”.
    var state = PGRES_POLLING_WRITING
    while state != PGRES_POLLING_OK {
      guard state != PGRES_POLLING_FAILED else { throw .connecting(host: host, reason: problem) }
      let outcome: Doorbell.Outcome
      do {
        // A new watch for each step: libpq may replace the descriptor, even by one with the same number.
        let interest: Readiness = state == PGRES_POLLING_READING ? .readable : .writable
        let watch = try reactor.watch(PQsocket(pointer), for: interest, label: "postgres") { _ in doorbell.ring() }
        outcome = await doorbell.wait(timeout: max(.zero, deadline - .now))
        watch.cancel()
      } catch { throw .connecting(host: host, reason: "\(error)") }
      switch outcome {
      case .rung: state = PQconnectPoll(pointer)
      case .timedOut: throw .timedOut(host: host, operation: "connecting", after: timeout)
      case .cancelled: throw .cancelled
      }
    }
    guard PQsetnonblocking(pointer, 1) == 0 else { throw .connecting(host: host, reason: problem) }
  }

  /// libpq's last message, on one line.
  var problem: String {
    let text = PQerrorMessage(pointer).map { String(cString: $0) } ?? ""
    return text.split(separator: "\n").joined(separator: "; ")
  }

  /// Sends notices of the server to the log instead of to standard error.
  func sendNotices(to logger: Logger) {
    final class Box {
      let logger: Logger
      init(_ logger: Logger) { self.logger = logger }
    }
    // Kept as long as the process lives: libpq has no call that releases a context.
    let context = Unmanaged.passRetained(Box(logger)).toOpaque()
    PQsetNoticeReceiver(
      pointer,
      { context, result in
        guard let context, let result else { return }
        let logger = Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().logger
        let message = PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) } ?? ""
        logger.debug("Postgres notice", metadata: ["notice": message])
      }, context)
  }
}

/// Lends a null-terminated array of C strings.
private func withCStrings<R>(
  _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> R
) -> R {
  var bytes: [CChar] = []
  var starts: [Int] = []
  for text in texts {
    starts.append(bytes.count)
    bytes.append(contentsOf: text.utf8CString)
  }
  return bytes.withUnsafeBufferPointer { buffer in
    let pointers = starts.map { Optional(buffer.baseAddress! + $0) } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
  }
}

extension PostgresError.ServerError {
  init(result: OpaquePointer, query: String) {
    func field(_ code: Unicode.Scalar) -> String? {
      PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
    }
    self.init(
      sqlState: field("C") ?? "", message: field("M") ?? String(cString: PQresultErrorMessage(result)),
      detail: field("D"), hint: field("H"), constraint: field("n"), query: query, routine: field("R"))
  }
}

/// Hands a connected handle over from the thread that made it.
final class HandleBox: @unchecked Sendable {  // unchecked: filled by one thread, then emptied by another, once
  private var handle: Handle?

  init(_ handle: consuming Handle) { self.handle = consume handle }

  func take() -> sending Handle {
    guard let handle = handle.take() else { preconditionFailure("a handle is taken once") }
    return handle
  }

  fileprivate func finishConnecting(within timeout: Duration, on reactor: Reactor) async throws(PostgresError) {
    try await handle!.finishConnecting(within: timeout, on: reactor)
  }
}

/// Connects to the first server of a connection string that can be reached and is of the kind that it asks for. Each
/// address has the whole time-out for itself.
func connect(
  _ options: PostgresOptions, replication: Bool = false, on reactor: Reactor
) async throws(PostgresError) -> HandleBox {
  let url = options.url
  let plan = try ConnectionPlan(url)
  var failures: [PostgresError] = []
  for attributes in plan.passes {
    for target in plan.targets {
      var addresses: [String?] = [target.address]
      if target.needsLookup, let host = target.host {
        do { addresses = try await NameLookup.addresses(of: host, within: options.connectTimeout, on: reactor) } catch {
          if Task.isCancelled { throw .cancelled }
          failures.append(.connecting(host: host, reason: error.reason))
          continue
        }
      }
      for address in addresses {
        var settings: [String: String] = [:]
        settings["host"] = target.host
        settings["hostaddr"] = address
        settings["port"] = target.port
        settings["target_session_attrs"] = attributes
        do throws(PostgresError) {
          let box = try await Reactor.offLoop { [settings] () throws(PostgresError) in
            HandleBox(try Handle.start(options, to: url, replication: replication, settings))
          }
          try await box.finishConnecting(within: options.connectTimeout, on: reactor)
          return box
        } catch {
          if case .cancelled = error { throw error }
          failures.append(error)
        }
        if Task.isCancelled { throw .cancelled }
      }
    }
  }
  guard failures.count > 1, let last = failures.last else {
    throw failures.last ?? .connecting(host: "?", reason: "postgres.url names no host")
  }
  // All of them, without repetition.
  var texts: [String] = []
  for failure in failures where !texts.contains("\(failure)") { texts.append("\(failure)") }
  throw texts.count == 1 ? last : .connecting(host: "each of its hosts", reason: texts.joined(separator: "; "))
}
