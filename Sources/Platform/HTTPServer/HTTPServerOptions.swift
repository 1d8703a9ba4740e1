/// Where a server listens, and its limits.
public struct HTTPServerOptions: Sendable {
  /// An IPv4 or IPv6 address.
  public var address: String
  /// 0: any that is free.
  public var port: UInt16
  /// Connections of one reactor; more clients wait in the backlog.
  public var maximumConnections: Int
  /// After which a connection without a request, or without a byte, is closed.
  public var idleTimeout: Duration
  /// For a body to arrive whole.
  public var bodyTimeout: Duration
  /// For a handler; it is cancelled then.
  public var handlerTimeout: Duration
  /// For requests under way when the server stops.
  public var drainTimeout: Duration

  public init(
    address: String = "127.0.0.1", port: UInt16, maximumConnections: Int = 4_096,
    idleTimeout: Duration = .seconds(75), bodyTimeout: Duration = .seconds(300),
    handlerTimeout: Duration = .seconds(60), drainTimeout: Duration = .seconds(10)
  ) {
    (self.address, self.port, self.maximumConnections) = (address, port, maximumConnections)
    (self.idleTimeout, self.bodyTimeout) = (idleTimeout, bodyTimeout)
    (self.handlerTimeout, self.drainTimeout) = (handlerTimeout, drainTimeout)
  }
}

public enum HTTPServerError: Error, CustomStringConvertible {
  case address(String)
  case listening(address: String, port: UInt16, reason: String)

  public var description: String {
    switch self {
    case .address(let text): "“\(text)” is no IPv4 or IPv6 address to listen on"
    case .listening(let address, let port, let reason):
      "\(address) port \(port) cannot be listened on: \(reason). Stop what is there or choose another http.port"
    }
  }
}
