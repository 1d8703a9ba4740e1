import Glibc

/// An address and port to listen on.
struct ListeningAddress {
  private enum Form {
    case version4(sockaddr_in)
    case version6(sockaddr_in6)
  }
  private let form: Form
  private let text: String
  private let port: UInt16

  init(_ text: String, port: UInt16) throws(HTTPServerError) {
    (self.text, self.port) = (text, port)
    var version4 = sockaddr_in()
    var version6 = sockaddr_in6()
    if inet_pton(AF_INET, text, &version4.sin_addr) == 1 {
      version4.sin_family = sa_family_t(AF_INET)
      version4.sin_port = port.bigEndian
      form = .version4(version4)
    } else if inet_pton(AF_INET6, text, &version6.sin6_addr) == 1 {
      version6.sin6_family = sa_family_t(AF_INET6)
      version6.sin6_port = port.bigEndian
      form = .version6(version6)
    } else {
      throw .address(text)
    }
  }

  var isVersion6: Bool { if case .version6 = form { true } else { false } }

  func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>) -> R) -> R {
    switch form {
    case .version4(let address):
      withUnsafePointer(to: address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    case .version6(let address):
      withUnsafePointer(to: address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    }
  }

  /// The IP address of a connection's client; empty if the client has disconnected.
  static func peer(of descriptor: Int32) -> String {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard getpeername(descriptor, address, &length) == 0 else { return "" }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let result = getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        return result == 0 ? String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
      }
    }
  }

  /// Fails if another process listens on this address and port. Without this check, a second Annals that was started
  /// by mistake would share the port, because the listeners use SO_REUSEPORT.
  func requireFree() throws(HTTPServerError) {
    guard port != 0 else { return }
    let descriptor = socket(isVersion6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw .listening(address: text, port: port, reason: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var on: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    let length = socklen_t(isVersion6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    guard withSocketAddress({ bind(descriptor, $0, length) }) == 0 else {
      throw .listening(address: text, port: port, reason: String(cString: strerror(errno)))
    }
  }
}
