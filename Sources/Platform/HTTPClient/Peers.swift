import CCurl
import Glibc

/// Whose servers a client asks.
public enum Peers: Sendable {
  /// Servers that whoever runs this program has chosen.
  case own
  /// Servers at URLs that strangers name. No proxy of the environment is asked, and nothing is unpacked: a few bytes may be made to
  /// unpack for hours.
  ///
  /// - Parameter publicOnly: Only https, and only addresses of the public internet. It is asked about the address itself, right before
  ///   each connection, so that no name, no other way of writing a number and no second answer of a name server leads around it.
  case strangers(publicOnly: Bool)

  func allows(_ address: UnsafePointer<sockaddr>) -> Bool {
    switch self {
    case .own, .strangers(publicOnly: false): true
    case .strangers(publicOnly: true): NetworkAddress(address)?.isPublic == true
    }
  }
}

/// An address of a machine.
public struct NetworkAddress: Sendable, CustomStringConvertible {
  /// Four of IPv4, sixteen of IPv6.
  public let bytes: [UInt8]
  public let description: String

  /// - Returns: nil if it is of another family.
  init?(_ address: UnsafePointer<sockaddr>) {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let family = Int32(address.pointee.sa_family)
    switch family {
    case AF_INET:
      bytes = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
        withUnsafeBytes(of: pointer.pointee.sin_addr) { Array($0) }
      }
    case AF_INET6:
      bytes = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { pointer in
        withUnsafeBytes(of: pointer.pointee.sin6_addr) { Array($0) }
      }
    default: return nil
    }
    inet_ntop(family, bytes, &text, socklen_t(text.count))
    description = text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// Reads an address in any form that connecting takes: `127.0.0.1`, `2130706433`, `0x7f.1`, `::1`.
  ///
  /// - Returns: nil if the text is no address, but a name.
  public init?(_ text: String) {
    var (hints, found) = (addrinfo(), UnsafeMutablePointer<addrinfo>?.none)
    hints.ai_flags = AI_NUMERICHOST
    guard getaddrinfo(text, nil, &hints, &found) == 0, let first = found?.pointee.ai_addr else { return nil }
    defer { freeaddrinfo(found) }
    self.init(first)
  }

  /// True for an address that machines of the internet have; false for those of a machine itself, of private networks, and for
  /// all others with a meaning of their own (IANA's registries of special-purpose addresses, RFC 6890).
  public var isPublic: Bool {
    let ranges = bytes.count == 4 ? Self.specialIPv4 : Self.specialIPv6
    return (bytes.count == 4 || bytes[0] & 0xE0 == 0x20) && !ranges.contains { isInside($0) }
  }

  private typealias Range = (prefix: [UInt8], bits: Int)

  private func isInside(_ range: Range) -> Bool {
    var bits = range.bits
    for (own, other) in zip(bytes, range.prefix) {
      guard bits > 0 else { break }
      let mask: UInt8 = bits >= 8 ? 0xFF : ~(0xFF >> UInt8(bits))
      guard own & mask == other & mask else { return false }
      bits -= 8
    }
    return true
  }

  private static let specialIPv4: [Range] = [
    ([0], 8), ([10], 8), ([100, 64], 10), ([127], 8), ([169, 254], 16), ([172, 16], 12), ([192, 0, 0], 24),
    ([192, 0, 2], 24), ([192, 88, 99], 24), ([192, 168], 16), ([198, 18], 15), ([198, 51, 100], 24),
    ([203, 0, 113], 24), ([224], 4), ([240], 4),
  ]
  /// Within 2000::/3, which is all that is public: protocols of the IETF, 6to4 (which has an IPv4 address in it), examples.
  private static let specialIPv6: [Range] = [
    ([0x20, 0x01, 0x00], 23), ([0x20, 0x01, 0x0D, 0xB8], 32), ([0x20, 0x02], 16), ([0x3F, 0xFF, 0x00], 20),
  ]
}

/// A URL to which requests can be sent.
public struct WebAddress: Sendable {
  public let scheme: String
  /// Without brackets. Numbers of IPv4 are in their usual form.
  public let host: String
  public let hasUser: Bool
  public let hasFragment: Bool

  /// - Returns: nil if curl does not take it for a URL.
  public init?(_ text: String) {
    guard let handle = curl_url() else { return nil }
    defer { curl_url_cleanup(handle) }
    guard curl_url_set(handle, CURLUPART_URL, text, UInt32(CURLU_NON_SUPPORT_SCHEME)) == CURLUE_OK else { return nil }
    func part(_ part: CURLUPart) -> String? {
      var text: UnsafeMutablePointer<CChar>?
      guard curl_url_get(handle, part, &text, 0) == CURLUE_OK, let text else { return nil }
      defer { curl_free(text) }
      return String(cString: text)
    }
    guard let scheme = part(CURLUPART_SCHEME), let host = part(CURLUPART_HOST), !host.isEmpty else { return nil }
    self.scheme = scheme.lowercased()
    self.host = host.hasPrefix("[") ? String(host.dropFirst().prefix { $0 != "]" && $0 != "%" }) : host
    hasUser = part(CURLUPART_USER) != nil || part(CURLUPART_PASSWORD) != nil
    hasFragment = part(CURLUPART_FRAGMENT) != nil
  }
}
