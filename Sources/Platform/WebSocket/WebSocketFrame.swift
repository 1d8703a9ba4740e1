/// A frame of a server, complete: many sockets may send the same one.
public struct WebSocketFrame: Sendable {
  public let bytes: [UInt8]

  /// A whole text message. A server's frames are not masked (RFC 6455, section 5.1).
  public init(text: [UInt8]) { bytes = Self.frame(0x81, text) }

  /// A close with the code 1002.
  static let protocolError = WebSocketFrame(raw: frame(0x88, [0x03, 0xEA]))
  /// A close with the code 1009.
  static let tooLarge = WebSocketFrame(raw: frame(0x88, [0x03, 0xF1]))
  static let ping = WebSocketFrame(raw: frame(0x89, []))

  private init(raw: [UInt8]) { bytes = raw }

  private static func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(payload.count + 10)
    bytes.append(first)
    switch payload.count {
    case ..<126: bytes.append(UInt8(payload.count))
    case ..<65_536: bytes += [126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
    default:
      bytes.append(127)
      for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(payload.count >> shift & 0xFF)) }
    }
    return bytes + payload
  }
}
