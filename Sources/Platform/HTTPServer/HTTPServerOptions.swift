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
  /// Time limit for receiving a body. It counts from the end of the connection's previous request.
  public var bodyTimeout: Duration
  /// Time limit of a handler. It is cancelled afterwards.
  public var handlerTimeout: Duration
  /// Time limit for running requests when the server stops. They are cancelled afterwards.
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
    case .address(let text): "“\(text)” is not an IPv4 or IPv6 address"
    case .listening(let address, let port, let reason):
      "cannot listen on \(address) port \(port): \(reason). Stop the program that uses the port, or choose another http.port"
    }
  }
}
