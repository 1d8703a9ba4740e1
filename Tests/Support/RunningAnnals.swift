import Files
import Glibc
public import HTTPClient
public import JSON
import Metrics
public import Postgres
public import Reactor

/// How the program runs.
public enum Processes: String, CaseIterable, Sendable {
  case together
  /// Each service in a process of its own, as `make up SERVICES=apart` runs them.
  case apart
  /// The same behind the gateway, which everything is asked of.
  case gateway

  /// In one process, and apart.
  public static let direct: [Processes] = [.together, .apart]
}

/// The beginning of a path.
// unchecked: nobody changes it.
private struct Pattern: @unchecked Sendable {
  let regex: Regex<AnyRegexOutput>
}

/// The built program, on a database and names of its own.
public struct RunningAnnals: Sendable {
  /// Of documents, and of everything else where it is one process.
  public let url: String
  /// The gateway's with TLS, and its certificate's file; nil: there is no gateway.
  public let tlsURL: String?
  /// Of services that are processes of their own, by the beginning of their paths.
  fileprivate let apart: [Service]
  /// The operators' port.
  public let operationsURL: String
  public let topic: String
  public let client: HTTPClient
  public let reactor: Reactor
  public let environment: [String: String]
  /// Of its processes.
  public let processes: [Int32]
  /// What its processes have logged.
  public let log: String
  /// Connections to its database.
  public let pool: PostgresPool

  public func send(
    _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil,
    contentType: String? = "application/json", headers: [(name: String, value: String)] = [("X-Actor", "alice")]
  ) async throws -> (status: Int, json: JSONValue, response: HTTPResponse) {
    let type = body == nil ? [] : contentType.map { [(name: "Content-Type", value: $0)] } ?? []
    let response = try await client.send(
      // Longer than the server waits for those behind it: its own words say which of them is slow.
      HTTPRequest(
        method, url(for: path) + path, headers: type + headers, body: body.map { Array($0.utf8) }, timeout: .seconds(45)
      ))
    let isJSON = response.header("content-type")?.contains("json") ?? false
    return (response.status, isJSON ? try JSONValue(parsing: response.body) : .null, response)
  }

  /// Who answers requests of a path.
  public func url(for path: String) -> String { service(of: path)?.url ?? url }

  /// The operators' port of who answers requests of a path.
  public func operationsURL(for path: String) -> String { service(of: path)?.operationsURL ?? operationsURL }

  private func service(of path: String) -> Service? { apart.first { path.prefixMatch(of: $0.path.regex) != nil } }

  fileprivate struct Service: Sendable {
    let path: Pattern
    let url: String
    let operationsURL: String
  }

  /// Runs another program and returns what it printed.
  public func output(of program: String, _ arguments: [String]) async throws -> String {
    let more = ["SIGNATURES_URL": url(for: "/signatures")]
    return try await Support.output(
      of: program, arguments, environment: environment.merging(more) { $1 }, on: reactor)
  }

  public static var binary: String {
    // The tests' own program lies beside it.
    var path = [CChar](repeating: 0, count: 4_096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    let own = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if let products = getenv("ANNALS_TEST_BINARY") { return String(cString: products) }
    return own.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/annals"
  }
}

/// - Parameter overrides: Variables that replace those of the test stack; `{database}` is the name of the test's own.
public func withAnnals(
  _ overrides: [String: String] = [:], _ processes: Processes = .together,
  _ body: @Sendable (RunningAnnals) async throws -> Void
) async throws {
  switch processes {
  case .together: try await Turns.programs.take { try await runAnnals(overrides, processes, body) }
  case .apart, .gateway:
    try await Turns.apart.take {
      try await Turns.programs.take { try await runAnnals(overrides, processes, body) }
    }
  }
}

/// The views of a test that searches.
public let searching = ["ANNALS_PROJECTION_VIEWS": "document-cache,document-search"]

private func runAnnals(
  _ overrides: [String: String], _ processes: Processes, _ body: @Sendable (RunningAnnals) async throws -> Void
) async throws {
  try await withDatabase { database in
    let name = Stack.uniqueName("e2e")
    let (port, operationsPort) = (Stack.uniquePort(), Stack.uniquePort())
    // The rows of all documents in a Redis are one installation's: each has its own.
    let redis = try await RedisServer.start(on: database.reactor)
    var environment = [
      "ANNALS_POSTGRES_URL": database.options.url, "ANNALS_REDIS_URL": redis.url,
      "ANNALS_KAFKA_BROKERS": try Stack.kafka, "ANNALS_ELASTICSEARCH_URL": try Stack.elasticsearch,
      "ANNALS_S3_ENDPOINT": try Stack.s3, "ANNALS_HTTP_PORT": "\(port)",
      "ANNALS_OPERATIONS_PORT": "\(operationsPort)", "ANNALS_GRPC_PORT": "0", "ANNALS_ELASTICSEARCH_ALIAS": name,
      "ANNALS_RELAY_TOPIC": "\(name).{aggregate}s", "ANNALS_RELAY_SLOT": name, "ANNALS_PROJECTION_GROUP": name,
      // Indexes are dear to make: a test that needs more views says so.
      "ANNALS_PROJECTION_VIEWS": "document-cache",
      "ANNALS_LOG_FORM": "json", "ANNALS_AUTH_MODE": "development",
      // The machine is busy with other tests: that requests take long says nothing of this one.
      "ANNALS_LIMITS_LATENCY": "60s", "ANNALS_ELASTICSEARCH_TIMEOUT": "30s",
    ]
    environment["PATH"] = getenv("PATH").map { String(cString: $0) }
    environment["LD_LIBRARY_PATH"] = getenv("LD_LIBRARY_PATH").map { String(cString: $0) }
    environment.merge(overrides.mapValues { $0.replacing("{database}", with: database.name) }) { $1 }
    mkdir(".stack/test/logs", 0o755)
    let logPath = ".stack/test/logs/\(name).log"
    let log = open(logPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    defer { close(log) }
    let commands: [[String]]
    // Of processes without a service.
    var others: [Int] = []
    var apart: [RunningAnnals.Service] = []
    switch processes {
    case .together: commands = [["all"]]
    case .apart, .gateway:
      others = [Stack.uniquePort(), Stack.uniquePort()]
      func service(_ name: String, _ path: String) throws -> [String] {
        let (port, operationsPort) = (Stack.uniquePort(), Stack.uniquePort())
        apart.append(
          .init(
            path: Pattern(regex: try Regex(path)), url: "http://127.0.0.1:\(port)",
            operationsURL: "http://127.0.0.1:\(operationsPort)"))
        return [
          "serve", name, "--http.port", "\(port)", "--operations.port", "\(operationsPort)", "--grpc.port", "0",
        ]
      }
      commands = [
        ["serve", "documents,types,links,batches,search,searches,webhooks,audit,analytics,grpc"],
        try service("signatures", #"(/v1)?/(signatures|signers/|documents/[^/]+/sign)"#),
        try service("search", #"(/v1)?/(search|aggregations|suggestions)"#),
        try service("streams", #"(/v1)?/(ws/|events($|\?)|saved-searches/events|documents/[^/]+/events)"#),
        ["relay", "--relay.port", "\(others[0])"], ["project", "--projection.port", "\(others[1])"],
      ]
      environment["ANNALS_HTTP_TRUSTED_PROXIES"] = "127.0.0.1"
      if let pooler = Stack.pooler {
        environment["ANNALS_POSTGRES_POOLER_URL"] = pooler.replacing(#//annals$/#, with: "/\(database.name)")
        environment["ANNALS_POSTGRES_PREPARED_STATEMENTS"] = "false"
      }
      // Many processes, and one server.
      environment["ANNALS_POSTGRES_POOL_SIZE"] = "2"
    }
    var services: [RunningAnnals.Service] = []
    var url = "http://127.0.0.1:\(port)"
    var gateway: Gateway?
    if processes == .gateway {
      let started = try await Gateway.start(
        documents: port, apart.map(\.url), calls: max(1, Int(environment["ANNALS_GRPC_PORT"] ?? "") ?? 1),
        on: database.reactor)
      (gateway, url, services) = (started, started.url, apart)
      apart = []
    }
    var children: [ChildProcess] = []
    for command in commands {
      children.append(
        try await ChildProcess.start(
          RunningAnnals.binary, command, environment: environment, output: log, on: database.reactor))
    }
    var pids: [Int32] = []
    for child in children { pids.append(await child.processIdentifier) }
    let client = HTTPClient(on: database.reactor, metrics: MetricsRegistry())
    let annals = RunningAnnals(
      url: url, tlsURL: gateway?.tlsURL, apart: apart, operationsURL: "http://127.0.0.1:\(operationsPort)",
      topic: "\(name).documents",
      client: client, reactor: database.reactor,
      environment: environment, processes: pids, log: logPath, pool: database.pool)
    let result: Result<Void, any Error>
    do {
      try await eventually("it serves", on: database.reactor) {
        do {
          for url in [annals.url] + (apart + services).map(\.url) + others.map({ "http://127.0.0.1:\($0)" }) {
            guard try await client.send(HTTPRequest(.get, url + "/healthz")).status == 200 else { return false }
          }
          return true
        } catch { return false }
      }
      result = .success(try await body(annals))
    } catch { result = .failure(error) }
    await gateway?.stop()
    for child in children { await child.signal(SIGTERM) }
    var end = ChildProcess.Termination.exited(status: 0)
    for child in children {
      let own = await child.wait()
      if own != .exited(status: 0) { end = own }
    }
    do { try await dropIndexes(of: name, client) } catch {}
    await client.close()
    await redis.stop()
    guard end == .exited(status: 0) else {
      throw UnexpectedEnd(end: end, log: logPath, tail: String(try File.text(logPath, limit: 64 << 20).suffix(3_000)))
    }
    try result.get()
  }
}

/// The gateway before processes that are apart.
private struct Gateway {
  let url: String
  let tlsURL: String
  private let folder: String
  private let reactor: Reactor

  /// - Parameter services: URLs of signatures, search and streams.
  static func start(
    documents: Int, _ services: [String], calls: Int, on reactor: Reactor
  ) async throws -> Gateway {
    let (port, tls) = (Stack.uniquePort(), Stack.uniquePort())
    let folder = ".stack/test/gateway-\(port)"
    let ports = services.map { String($0.split(separator: ":").last ?? "") }
    let printed = try await output(
      of: "scripts/gateway",
      [
        "start", folder, "LISTEN=\(port)", "TLS=\(tls)", "DOCUMENTS=\(documents)", "SIGNATURES=\(ports[0])",
        "SEARCH=\(ports[1])", "STREAMS=\(ports[2])", "GRPC=\(calls)", "RATE=2000", "BURST=200",
      ], on: reactor)
    guard printed.isEmpty else { throw TimedOut(what: "the gateway: \(printed)", timeout: .zero) }
    return Gateway(
      url: "http://127.0.0.1:\(port)", tlsURL: "https://127.0.0.1:\(tls)", folder: folder, reactor: reactor)
  }

  func stop() async { _ = try? await output(of: "scripts/gateway", ["stop", folder], on: reactor) }
}

/// A Redis of one test's own, in memory; `SAVE` writes what it has to a file, which the next start reads.
public actor RedisServer {
  public nonisolated let url: String
  private let port: Int
  private let file: String
  private let reactor: Reactor
  private var child: ChildProcess

  public static func start(on reactor: Reactor) async throws -> RedisServer {
    let port = Stack.uniquePort()
    let file = "\(Stack.uniqueName("redis")).rdb"
    return RedisServer(port: port, file: file, on: reactor, try await process(port: port, file: file, on: reactor))
  }

  private init(port: Int, file: String, on reactor: Reactor, _ child: ChildProcess) {
    (self.port, self.file, self.reactor, self.child) = (port, file, reactor, child)
    url = "redis://127.0.0.1:\(port)"
  }

  private static func process(port: Int, file: String, on reactor: Reactor) async throws -> ChildProcess {
    let nothing = open("/dev/null", O_WRONLY | O_CLOEXEC)
    defer { close(nothing) }
    let child = try await ChildProcess.start(
      "redis-server",
      [
        "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", Stack.temporaryFolder,
        "--dbfilename", file,
      ],
      environment: ["PATH": getenv("PATH").map { String(cString: $0) } ?? ""], output: nothing, on: reactor)
    try await eventually("Redis listens on port \(port)", on: reactor) { listens(port) }
    return child
  }

  private static func listens(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    return withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }

  /// SIGKILL, and a new start with what was saved last.
  public func crash() async throws {
    await child.signal(SIGKILL)
    _ = await child.wait()
    child = try await Self.process(port: port, file: file, on: reactor)
  }

  public func stop() async {
    await child.signal(SIGTERM)
    _ = await child.wait()
    unlink("\(Stack.temporaryFolder)/\(file)")
  }
}

/// The program did not end with 0 after its stop.
struct UnexpectedEnd: Error, CustomStringConvertible {
  let end: ChildProcess.Termination
  let log: String
  let tail: String
  var description: String { "annals ended with \(end); its log is \(log), which ends with: \(tail)" }
}

/// Waits until nobody accepts connections at a port of this machine.
public func untilConnectionsAreRefused(port: Int, on reactor: Reactor) async throws {
  let client = HTTPClient(on: reactor, metrics: MetricsRegistry())
  let result: Result<Void, any Error>
  do {
    try await eventually("port \(port) refuses connections", on: reactor) {
      do {
        _ = try await client.send(HTTPRequest(.get, "http://127.0.0.1:\(port)/none"))
        return false
      } catch { return true }
    }
    result = .success(())
  } catch { result = .failure(error) }
  await client.close()
  try result.get()
}

/// Deletes what a run has left in Elasticsearch, which bears a thousand indexes.
private func dropIndexes(of name: String, _ client: HTTPClient) async throws {
  let list = try await client.send(HTTPRequest(.get, try Stack.elasticsearch + "/_cat/indices/\(name)*?h=index"))
  for index in String(decoding: list.body, as: UTF8.self).split(whereSeparator: \.isWhitespace) {
    _ = try await client.send(HTTPRequest(.delete, try Stack.elasticsearch + "/\(index)"))
  }
}
