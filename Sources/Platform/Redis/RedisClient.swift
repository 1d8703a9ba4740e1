public import Logging
public import Metrics
public import Reactor
public import Resilience

/// One pipelined connection to Redis on a reactor. It reconnects with growing delays after a break.
///
/// Without a connection, a call fails immediately.
public actor RedisClient {
  private nonisolated let reactor: Reactor
  public nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

  public nonisolated let host: String
  /// Its state, as all calls have found it.
  public nonisolated let dependency: Dependency
  private var options: RedisOptions
  private let current: @Sendable () -> RedisOptions?
  private let logger: Logger
  private let connected: Gauge
  private var link: RedisLink?
  /// The number of connections so far. After a new one the server may lack writes that it had acknowledged.
  public private(set) var connections = 0
  private var lastReason = "not connected yet"
  private var keeper: Task<Void, Never>?
  private var endOfTurn: EndOfTurn?
  private var watchdog: LoopTimer?
  /// True until the end of a link has been logged.
  private var wasConnected = false
  private var waiting = 0
  private var waitingBytes = 0
  /// Start of the wait for the next reply: the later of the first pending command and the last reply.
  private var waitingSince: ContinuousClock.Instant?
  private let ended: Doorbell

  static let maximumWaiting = 65_536
  /// Bytes of the commands that wait. A single call may be larger.
  static let maximumBytes = 64 << 20

  /// - Parameter current: Asked for each connection: a password may be changed.
  public init(
    _ options: RedisOptions, current: @escaping @Sendable () -> RedisOptions? = { nil }, on reactor: Reactor,
    logger: Logger, metrics: MetricsRegistry
  ) {
    (self.options, self.current, self.reactor) = (options, current, reactor)
    self.logger = logger.labelled("redis")
    host = "\(options.host):\(options.port)"
    // Its calls are bounded by `maximumWaiting` and `maximumBytes`, and may not be made twice. That the server is silent for so
    // long is found out by all of them together.
    dependency = Dependency(
      "Redis",
      ResiliencePolicy(timeout: options.timeout, maximumCalls: Self.maximumWaiting, failures: 1, failureShare: 0),
      reactor: reactor.name,
      logger: logger, metrics: metrics)
    connected = metrics.gauge("annals_redis_connected", ["reactor": reactor.name], help: "1 while connected, else 0.")
    ended = Doorbell(on: reactor)
  }

  /// Connects, and reconnects until `close`. Throws if the first attempt fails, but keeps trying.
  public func start() async throws(RedisError) {
    endOfTurn = reactor.atEndOfTurn { [weak self] in
      self?.assumeIsolated { $0.link?.flush() }
      return false
    }
    watchdog = reactor.timer(label: "redis watchdog") { [weak self] in
      self?.assumeIsolated { $0.watchOver() }
    }
    watchdog?.start(after: .milliseconds(500), every: .milliseconds(500))
    var failure: RedisError?
    do { try await connect() } catch { failure = error }
    keeper = Task { await keep() }
    if let failure { throw failure }
  }

  private func keep() async {
    var backoff = Backoff()
    while !Task.isCancelled {
      let start = ContinuousClock.now
      while link != nil {
        // A ring may be of an earlier link.
        if await ended.wait() == .cancelled { return }
      }
      guard !Task.isCancelled else { return }
      if wasConnected {
        wasConnected = false
        logger.warning("Connection to Redis lost", metadata: [.host: host, .error: lastReason])
      }
      // Without a link there was no life: `start` is just now.
      do { try await reactor.sleep(for: backoff.next(afterLife: .now - start)) } catch { return }
      do { try await connect() } catch {
        logger.warning(
          "Redis cannot be reached",
          metadata: [.host: host, .error: lastReason, .attempt: "\(backoff.attempts)"])
      }
    }
  }

  /// Connects and signs in; the link is used by others only after that.
  private func connect() async throws(RedisError) {
    if let current = current(), current.host == options.host, current.port == options.port,
      current.database == options.database
    {
      options = current
    }
    do throws(RedisError) {
      let new = try await openLink()
      do throws(RedisError) { try await signIn(over: new) } catch {
        new.close()
        throw error
      }
      new.onEnd = { [weak self] reason in self?.assumeIsolated { $0.linkEnded(reason) } }
      guard new.context != nil else { throw RedisError.connectionLost(host: host, reason: "closed at once") }
      link = new
      connections += 1
      wasConnected = true
      connected.set(1)
    } catch {
      lastReason = "\(error)"
      throw error
    }
  }

  private func openLink() async throws(RedisError) -> RedisLink {
    let addresses: [String]
    do { addresses = try await NameLookup.addresses(of: options.host, within: options.timeout, on: reactor) } catch {
      throw .notConnected(host: host, reason: error.reason)
    }
    var failure = RedisError.notConnected(host: host, reason: "its name has no address")
    for address in addresses {
      let new = RedisLink()
      do { try new.attach(try RedisLink.start(host: address, port: options.port), on: reactor) } catch {
        failure = error as? RedisError ?? .notConnected(host: host, reason: "\(error)")
        continue
      }
      let doorbell = Doorbell(on: reactor)
      defer { doorbell.close() }
      var problem: String?
      new.onConnect = {
        problem = $0
        doorbell.ring()
      }
      let outcome = await doorbell.wait(timeout: options.timeout)
      new.onConnect = { _ in }
      if outcome == .rung, problem == nil { return new }
      // After a failed connect hiredis frees the context itself.
      if problem == nil { new.close() }
      if outcome == .cancelled { throw .cancelled }
      failure = .notConnected(host: host, reason: problem ?? "no answer within \(options.timeout)")
    }
    throw failure
  }

  /// AUTH and SELECT in one round trip.
  private func signIn(over link: RedisLink) async throws(RedisError) {
    var commands: [RedisCommand] = []
    if let password = options.password {
      commands.append(options.user.map { RedisCommand("AUTH", $0, password) } ?? RedisCommand("AUTH", password))
    }
    if options.database != 0 { commands.append(RedisCommand("SELECT", "\(options.database)")) }
    guard !commands.isEmpty else { return }
    let bell = Doorbell(on: reactor)
    defer { bell.close() }
    var replies: [RedisValue] = []
    var missing = commands.count
    for command in commands {
      let wasSent = link.send(command) { reply in
        if let reply { replies.append(reply) }
        missing -= 1
        if missing == 0 { bell.ring() }
      }
      guard wasSent else { throw .connectionLost(host: host, reason: "closed before \(command.name)") }
    }
    link.flush()
    switch await bell.wait(timeout: options.timeout) {
    case .rung: break
    case .timedOut: throw .timedOut(host: host, after: options.timeout)
    case .cancelled: throw .cancelled
    }
    guard replies.count == commands.count else { throw .connectionLost(host: host, reason: "closed while signing in") }
    for (command, reply) in zip(commands, replies) {
      // The first word only: some servers repeat the arguments, and so the password.
      if case .error(let reason) = reply {
        throw .refused(command: command.name, reason: String(reason.prefix { $0 != " " }))
      }
    }
  }

  private func linkEnded(_ reason: String) {
    guard link != nil else { return }
    lastReason = reason
    link = nil
    connected.set(0)
    ended.ring()
  }

  // MARK: Commands

  /// Runs one command. An error reply is a value.
  public func command(_ command: RedisCommand) async throws(RedisError) -> RedisValue {
    try await pipeline([command])[0]
  }

  /// Sends several commands at once and waits for all replies. An error reply is a value.
  ///
  /// - Parameter connection: The only connection over which they may be sent; nil: any.
  public func pipeline(
    _ commands: [RedisCommand], over connection: Int? = nil
  ) async throws(RedisError) -> [RedisValue] {
    guard let link else { throw .notConnected(host: host, reason: lastReason) }
    if let connection, connection != connections {
      throw .connectionLost(host: host, reason: "connection \(connection) is gone")
    }
    let bytes = commands.reduce(0) { $0 + $1.byteCount }
    guard waiting + commands.count <= Self.maximumWaiting, waitingBytes + bytes <= Self.maximumBytes || waiting == 0
    else { throw .overloaded(host: host, waiting: waiting) }
    guard !commands.isEmpty else { return [] }
    let call: Dependency.Call
    do { call = try dependency.begin() } catch { throw .notConnected(host: host, reason: "\(error)") }
    let result = await withCheckedContinuation { continuation in
      send(commands, over: link, continuation)
    }
    switch result {
    case .success: dependency.end(call, .answered)
    case .failure(.timedOut): dependency.end(call, .failed)
    // A lost connection is made again by itself, and calls fail at once until then.
    case .failure: dependency.end(call, .abandoned)
    }
    return try result.get()
  }

  private func send(
    _ commands: [RedisCommand], over link: RedisLink,
    _ continuation: CheckedContinuation<Result<[RedisValue], RedisError>, Never>
  ) {
    let batch = Batch(count: commands.count, continuation)
    if waiting == 0 { waitingSince = .now }
    for command in commands {
      waiting += 1
      let bytes = command.byteCount
      waitingBytes += bytes
      let wasSent = link.send(command) { [weak self] reply in
        let broken = self?.assumeIsolated { client in
          client.answered(bytes)
          return client.brokenCall
        }
        batch.take(reply, broken)
      }
      if !wasSent {
        waiting -= 1
        waitingBytes -= bytes
        batch.take(nil, brokenCall)
      }
    }
  }

  /// True while a link is closed for that: its calls end then.
  private var hasTimedOut = false
  private var brokenCall: RedisError {
    hasTimedOut
      ? .timedOut(host: host, after: options.timeout) : .connectionLost(host: host, reason: "no reply came")
  }

  private func answered(_ bytes: Int) {
    waiting -= 1
    waitingBytes -= bytes
    waitingSince = waiting == 0 ? nil : .now
  }

  private func watchOver() {
    guard let waitingSince, ContinuousClock.now - waitingSince > options.timeout else { return }
    self.waitingSince = nil
    hasTimedOut = true
    defer { hasTimedOut = false }
    link?.close()
    lastReason = "no answer within \(options.timeout)"
  }

  // MARK: Scripts

  /// Runs a Lua script by its hash. Sends its text if the server does not know it yet.
  public func evaluate(
    _ script: RedisScript, keys: [String], arguments: [[UInt8]]
  ) async throws(RedisError) -> RedisValue {
    let replies = try await evaluate(script, [(keys, arguments)])
    return replies[0]
  }

  /// Runs a script once for each set of keys and arguments, pipelined.
  public func evaluate(
    _ script: RedisScript, _ calls: [(keys: [String], arguments: [[UInt8]])]
  ) async throws(RedisError) -> [RedisValue] {
    func commands(_ name: String, _ script: String) -> [RedisCommand] {
      calls.map { keys, arguments in
        var command = RedisCommand(name, script, "\(keys.count)")
        for key in keys { command.append(key) }
        for argument in arguments { command.append(argument) }
        return command
      }
    }
    let hash = hashes[script.name]
    if let hash {
      let replies = try await pipeline(commands("EVALSHA", hash))
      let isKnown = !replies.contains { if case .error(let text) = $0 { text.hasPrefix("NOSCRIPT") } else { false } }
      if isKnown { return replies }
    }
    guard let loaded = try await command(RedisCommand("SCRIPT", "LOAD", script.text)).text else {
      throw .refused(command: "SCRIPT LOAD", reason: script.name)
    }
    hashes[script.name] = loaded
    // Run it by its text this time, because another client may flush the script cache again.
    return try await pipeline(commands("EVAL", script.text))
  }

  private var hashes: [String: String] = [:]

  public func close() async {
    keeper?.cancel()
    await keeper?.value
    watchdog?.cancel()
    endOfTurn?.cancel()
    let link = link
    self.link = nil
    link?.close()
    ended.close()
  }
}

/// A named Lua script. It runs atomically and must be safe to run twice.
public struct RedisScript: Sendable {
  public let name: String
  public let text: String
  public init(_ name: String, _ text: String) { (self.name, self.text) = (name, text) }
}

/// Replies of commands that were sent together.
private final class Batch {
  private var values: [RedisValue] = []
  private var missing: Int
  private var failure: RedisError?
  private let continuation: CheckedContinuation<Result<[RedisValue], RedisError>, Never>

  init(count: Int, _ continuation: CheckedContinuation<Result<[RedisValue], RedisError>, Never>) {
    (missing, self.continuation) = (count, continuation)
  }

  /// - Parameter broken: The error if no reply came.
  func take(_ value: RedisValue?, _ broken: RedisError?) {
    missing -= 1
    if let value { values.append(value) } else { failure = broken ?? .cancelled }
    guard missing == 0 else { return }
    continuation.resume(returning: failure.map { .failure($0) } ?? .success(values))
  }
}
