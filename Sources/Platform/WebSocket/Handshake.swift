import Base64
import Crypto

/// The opening handshake of a server (RFC 6455, section 4.2).
public enum WebSocketHandshake {
  /// Why a request cannot become a socket.
  public enum Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    case noUpgrade
    case version
    case key

    public var description: String {
      switch self {
      case .noUpgrade: "this is a WebSocket: send “Connection: Upgrade” and “Upgrade: websocket”"
      case .version: "Sec-WebSocket-Version must be 13"
      case .key: "Sec-WebSocket-Key must be 16 bytes in base64"
      }
    }
  }

  /// Checks a request's headers.
  ///
  /// - Parameter value: The values of a header, joined by commas.
  /// - Returns: The value of `Sec-WebSocket-Accept`.
  public static func accept(_ value: (String) -> String?) throws(Refusal) -> String {
    func has(_ name: String, _ token: String) -> Bool {
      (value(name) ?? "").split(separator: ",").contains { $0.filter { $0 != " " && $0 != "\t" }.lowercased() == token }
    }
    guard has("Connection", "upgrade"), has("Upgrade", "websocket") else { throw .noUpgrade }
    guard value("Sec-WebSocket-Version") == "13" else { throw .version }
    guard let key = value("Sec-WebSocket-Key"), key.utf8.count == 24, Base64.decodeLeniently(key.utf8)?.count == 16
    else {
      throw .key
    }
    // The identifier of RFC 6455, section 1.3.
    return Base64.standard(SHA1.hash(Array("\(key)258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)))
  }
}
