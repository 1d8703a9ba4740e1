import Glibc
public import HTTPServer
public import Logging
public import CommandLine
public import Configuration

/// Where a process listens.
public enum HTTPSettings {
  public static let address = Setting("http.address", default: "127.0.0.1", "IP address that the services listen on.")
  public static let port = portSetting("http.port", default: 28_080, "Port that the services listen on.")
  public static let reactors = Setting(
    "http.reactors", default: 0, "Event loops that serve requests; 0: one for each core.",
    accepts: { (0...256).contains($0) }, remedy: "a number from 0 to 256")

  public static let maximumJSON = Setting(
    "http.max-json", default: ByteCount.mebibytes(8), "Largest JSON body of a request.")
  static let bodyMemory = Setting(
    "http.body-memory", default: ByteCount.mebibytes(64),
    "Memory for the bodies of each reactor's requests together. More is answered with 503.")
  static let maximumConnections = Setting(
    "http.max-connections", default: 4_096, "Connections of each reactor. More clients wait until one closes.",
    accepts: { (1...1_000_000).contains($0) }, remedy: "a number from 1 to 1000000")
  static let idleTimeout = Setting(
    "http.idle-timeout", default: Duration.seconds(75), "A connection without a request is closed after this time.")
  static let headTimeout = Setting(
    "http.head-timeout", default: Duration.seconds(20), "The head of a request may take this long. Else 408.")
  static let leastRate = Setting(
    "http.least-rate", default: 1_024,
    "Bytes per second that a client must send of a body (else 408), or take of an answer (else it is cut off).",
    accepts: { $0 > 0 }, remedy: "a number above 0")
  static let patience = Setting(
    "http.patience", default: Duration.seconds(20), "How long a client may fall short of http.least-rate.")
  static let handlerTimeout = Setting(
    "http.handler-timeout", default: Duration.seconds(60),
    "A request that is worked on for longer is ended with 503. Waiting for the client does not count.")
  static let drainTimeout = Setting(
    "http.drain-timeout", default: Duration.seconds(20),
    "At a stop, the requests under way may take this long. Below the grace period of 25 s.")
  static let stopDelay = Setting(
    "http.stop-delay", default: Duration.zero,
    "At a stop, /readyz says 503 for this long before new connections are refused: load balancers need the time.")
  public static let operationsAddress = Setting(
    "operations.address", default: "127.0.0.1", "IP address of the operators' port.")
  public static let operationsPort = portSetting(
    "operations.port", default: 28_083,
    "Port of /metrics and of all operations of a process with an API. /healthz, /livez and /readyz are on both ports.")
  static let trustedProxies = Setting(
    "http.trusted-proxies", default: "",
    "Addresses and networks of proxies whose X-Forwarded-For is taken for the client's address: 127.0.0.1,10.0.0.0/8.",
    accepts: { TrustedProxies($0) != nil }, remedy: "IP addresses and networks, joined by commas")
  static let accessLog = Setting(
    "http.access-log", default: false, "Log each request: method, path, status, duration, client, request id.")

  public static let all: [SettingDescription] = [
    address.description, port.description, reactors.description, maximumConnections.description,
    idleTimeout.description, headTimeout.description, leastRate.description, patience.description,
    handlerTimeout.description, drainTimeout.description, maximumJSON.description, bodyMemory.description,
    trustedProxies.description, accessLog.description, stopDelay.description, operationsAddress.description,
    operationsPort.description,
  ]

  /// A setting for a port.
  public static func portSetting(_ key: String, default fallback: Int, _ meaning: String) -> Setting<Int> {
    Setting(key, default: fallback, meaning, accepts: { (1...65_535).contains($0) }, remedy: "a port from 1 to 65535")
  }
}

extension HTTPServerOptions {
  /// The limits of the settings, and the access log if it is wanted.
  public init(address: String, port: UInt16, _ settings: Configuration, logger: Logger) {
    self.init(
      address: address, port: port, maximumConnections: settings[HTTPSettings.maximumConnections],
      idleTimeout: settings[HTTPSettings.idleTimeout], headTimeout: settings[HTTPSettings.headTimeout],
      leastRate: settings[HTTPSettings.leastRate], patience: settings[HTTPSettings.patience],
      handlerTimeout: settings[HTTPSettings.handlerTimeout], drainTimeout: settings[HTTPSettings.drainTimeout],
      bodyMemory: settings[HTTPSettings.bodyMemory].bytes)
    trustedProxies = TrustedProxies(settings[HTTPSettings.trustedProxies]) ?? TrustedProxies()
    guard settings[HTTPSettings.accessLog] else { return }
    let logger = logger.labelled("access")
    observe = { request in
      logger.info(
        "Request",
        metadata: [
          "method": request.method, "path": String(request.target.prefix { $0 != "?" }.prefix(400)),
          "status": request.status.map { "\($0)" } ?? "client gone", "client": request.address,
          "milliseconds": "\(request.duration / .milliseconds(1))", "request_id": request.id,
        ])
    }
  }
}

extension Configuration {
  /// Reactors that serve requests: one for each core, or as many as the settings say.
  public var servingReactors: Int {
    let wanted = self[HTTPSettings.reactors]
    return wanted == 0 ? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) : wanted
  }
}
