import Glibc

/// The proxies whose word about the client's address is taken.
public struct TrustedProxies: Sendable {
  /// An address, and how many of its first bits count.
  private struct Network: Sendable {
    let bytes: [UInt8]
    let length: Int

    func contains(_ address: [UInt8]) -> Bool {
      guard address.count == bytes.count else { return false }
      return (0..<length).allSatisfy { bit in
        (address[bit / 8] ^ bytes[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
      }
    }
  }
  private var networks: [Network] = []

  /// Nobody is trusted.
  public init() {}

  /// Reads addresses and networks, joined by commas: `127.0.0.1, 10.0.0.0/8, ::1`.
  ///
  /// - Returns: nil if one of them is none.
  public init?(_ text: String) {
    for part in text.split(separator: ",") {
      let words = part.filter { $0 != " " }.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = words.first, let bytes = Self.bytes(String(first)) else { return nil }
      let length = words.count == 1 ? bytes.count * 8 : Int(words[1]) ?? -1
      guard (0...bytes.count * 8).contains(length) else { return nil }
      networks.append(Network(bytes: bytes, length: length))
    }
  }

  /// The address in network order; nil: the text is none.
  private static func bytes(_ text: String) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
    return inet_pton(AF_INET6, text, &bytes) == 1 ? bytes : nil
  }

  private func trusts(_ address: String) -> Bool {
    guard !networks.isEmpty, let bytes = Self.bytes(address) else { return false }
    return networks.contains { $0.contains(bytes) }
  }

  /// The client's address: the last one in `X-Forwarded-For` that no trusted proxy has. What others write before it they may have
  /// made up.
  ///
  /// - Parameter peer: Who has sent the request.
  public func client(of peer: String, _ headers: [(name: String, value: String)]) -> String {
    // Some proxies add a line of their own: all lines are one list.
    let lines = headers.filter { $0.name.lowercased() == "x-forwarded-for" }.map(\.value)
    return client(of: peer, forwarded: lines.isEmpty ? nil : lines.joined(separator: ","))
  }

  func client(of peer: String, forwarded: String?) -> String {
    guard let forwarded, trusts(peer) else { return peer }
    for part in forwarded.utf8.split(separator: UInt8(ascii: ",")).reversed() {
      let address = String(decoding: part.filter { $0 != 0x20 && $0 != 0x09 }, as: UTF8.self)
      guard Self.bytes(address) != nil else { return peer }
      if !trusts(address) { return address }
    }
    return peer
  }
}
