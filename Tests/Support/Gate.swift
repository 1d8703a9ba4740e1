import Glibc
import Synchronization

/// A way to a server of the stack that a test can close and open again, as if the server went away and came back:
/// while it is closed, connections are refused and those that stood are cut.
public final class Gate: Sendable {
  public let port: UInt16
  private let target: UInt16
  private let state = Mutex(State())

  private struct State {
    var listener: Int32 = -1
    var sockets: [Int32: Bool] = [:]
  }

  /// - Parameter address: `host:port` of a server on the loopback, with or without a scheme before it.
  public init(to address: String, isOpen: Bool) throws {
    guard let target = address.split(separator: ":").last.flatMap({ UInt16($0) }) else { throw Failure(call: address) }
    self.target = target
    let probe = try Self.listen(on: 0)
    var name = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(probe, $0, &size) }
    }
    port = UInt16(bigEndian: name.sin_port)
    if isOpen { begin(probe) } else { close(probe) }
  }

  struct Failure: Error { let call: String }

  private static func loopback(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }

  private static func call(
    _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Bool {
    var address = loopback(port)
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    } == 0
  }

  private static func listen(on port: UInt16) throws -> Int32 {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    guard call(port, { bind(listener, $0, $1) }), Glibc.listen(listener, 128) == 0 else {
      throw Failure(call: "listen")
    }
    return listener
  }

  public func open() throws {
    guard state.withLock({ $0.listener < 0 }) else { return }
    begin(try Self.listen(on: port))
  }

  /// Refuses new connections and cuts those that stand.
  public func shut() {
    state.withLock { state in
      if state.listener >= 0 { shutdown(state.listener, Int32(SHUT_RDWR)) }
      state.listener = -1
      for socket in state.sockets.keys { shutdown(socket, Int32(SHUT_RDWR)) }
    }
  }

  private func begin(_ listener: Int32) {
    state.withLock { $0.listener = listener }
    Self.thread { [self] in
      while case let client = accept(listener, nil, nil), client >= 0 {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let connects = Self.call(target) { connect(server, $0, $1) }
        let isOpen = state.withLock { state in
          guard state.listener == listener else { return false }
          (state.sockets[client], state.sockets[server]) = (false, false)
          return true
        }
        guard connects, isOpen else {
          close(client)
          close(server)
          continue
        }
        Self.thread { self.copy(from: client, to: server) }
        Self.thread { self.copy(from: server, to: client) }
      }
      close(listener)
    }
  }

  private func copy(from source: Int32, to sink: Int32) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while case let count = recv(source, &buffer, buffer.count, 0), count > 0 {
      var sent = 0
      while sent < count {
        let written = buffer.withUnsafeBytes {
          send(sink, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
        }
        guard written > 0 else { return end(source, sink) }
        sent += written
      }
    }
    end(source, sink)
  }

  /// The first direction that ends cuts both; the second one closes them.
  private func end(_ source: Int32, _ sink: Int32) {
    state.withLock { state in
      shutdown(source, Int32(SHUT_RDWR))
      shutdown(sink, Int32(SHUT_RDWR))
      guard state.sockets[source] == true else {
        (state.sockets[source], state.sockets[sink]) = (true, true)
        return
      }
      for socket in [source, sink] {
        state.sockets[socket] = nil
        close(socket)
      }
    }
  }

  private static func thread(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { box in
        Unmanaged<Box>.fromOpaque(box!).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(Box(body)).toOpaque())
    pthread_detach(thread)
  }
}
