/// Address, port and limits of a server.
public struct HTTPServerOptions: Sendable {
  /// An IPv4 or IPv6 address.
  public var address: String
  /// Port; 0: any free port.
  public var port: UInt16
  /// Maximum number of connections per reactor. Further clients wait in the listen backlog.
  public var maximumConnections: Int
  /// Idle time-out: closes a connection that sends no request, or no byte, for this long.
  public var idleTimeout: Duration
  /// Time limit for the head of a request, from its first line to its end. Answered with 408.
  public var headTimeout: Duration
  /// Least rate at which a client must send a body (else 408) or take an answer (else the connection is closed), in
  /// bytes per second.
  public var leastRate: Int
  /// How long a client may fall short of the least rate, in all.
  public var patience: Duration
  /// Time limit of a handler. It is cancelled afterwards. Time in which it waits for the client does not count.
  public var handlerTimeout: Duration
  /// How long a body is read on after its refusal was sent, so that the client can read the refusal.
  public var lingerTimeout: Duration
  /// Time limit for running requests when the server stops. They are cancelled afterwards.
  public var drainTimeout: Duration
  /// Bytes of memory that the bodies of one listener's requests may use together. More is answered with 503.
  public var bodyMemory: Int
  /// Proxies whose `X-Forwarded-For` is taken.
  public var trustedProxies = TrustedProxies()
  /// Is called for each request that has ended.
  public var observe: (@Sendable (AnsweredRequest) -> Void)?

  public init(
    address: String = "127.0.0.1", port: UInt16, maximumConnections: Int = 4_096,
    idleTimeout: Duration = .seconds(75), headTimeout: Duration = .seconds(20), leastRate: Int = 1_024,
    patience: Duration = .seconds(20), handlerTimeout: Duration = .seconds(60),
    lingerTimeout: Duration = .seconds(30), drainTimeout: Duration = .seconds(20), bodyMemory: Int = 64 << 20,
    observe: (@Sendable (AnsweredRequest) -> Void)? = nil
  ) {
    (self.address, self.port, self.maximumConnections) = (address, port, maximumConnections)
    (self.idleTimeout, self.headTimeout) = (idleTimeout, headTimeout)
    (self.leastRate, self.patience) = (leastRate, patience)
    (self.handlerTimeout, self.lingerTimeout) = (handlerTimeout, lingerTimeout)
    (self.drainTimeout, self.bodyMemory, self.observe) = (drainTimeout, bodyMemory, observe)
  }
}

/// A request that has ended, for the access log.
public struct AnsweredRequest: Sendable {
  public let id: String
  /// `-` if the head was malformed.
  public let method: String
  /// As it was sent, with the query.
  public let target: String
  /// IP address of the client.
  public let address: String
  /// nil: the client went away, or was too slow, before the answer.
  public let status: Int?
  /// From the request's first line to the end of the answer.
  public let duration: Duration
}

public enum HTTPServerError: Error, CustomStringConvertible {
  case address(String)
  case listening(address: String, port: UInt16, reason: String)

  public var description: String {
    switch self {
    case .address(let text): "“\(text)” is not an IPv4 or IPv6 address"
    case .listening(let address, let port, let reason):
      "cannot listen on \(address) port \(port): \(reason). Stop the program that uses the port, or choose another one: http.port, operations.port, relay.port or projection.port"
    }
  }
}
