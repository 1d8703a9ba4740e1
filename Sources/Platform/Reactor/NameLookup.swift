import Glibc
import Synchronization

/// The reason why a host's name leads to no address.
public struct NameLookupError: Error, CustomStringConvertible {
  public let host: String
  public let reason: String
  public var description: String { "the name \(host) cannot be looked up: \(reason)" }
}

/// Looks names up without blocking a loop.
public enum NameLookup {
  /// The IP addresses of a host, in the system's order of preference. An address is its own answer. `localhost` is this
  /// machine without asking anybody (RFC 6761, section 6.3): where the hosts file has only one of its addresses, the
  /// system asks a name server for the other.
  ///
  /// - Parameter timeout: Time limit. The system's own may be much longer; the blocked thread is left to itself then.
  /// - Throws: Also as soon as the task is cancelled.
  public static func addresses(
    of host: String, within timeout: Duration, on reactor: Reactor
  ) async throws(NameLookupError) -> [String] {
    if isAddress(host) { return [host] }
    if ["localhost", "localhost."].contains(host.lowercased()) { return ["127.0.0.1", "::1"] }
    let answer = Answer()
    let bell = Doorbell(on: reactor)
    defer { bell.close() }
    LookUps.shared.start(host) { [weak reactor] result in
      answer.set(result)
      reactor?.post { bell.ring() }
    }
    switch await bell.wait(timeout: timeout) {
    case .rung: break
    case .timedOut: throw NameLookupError(host: host, reason: "no answer within \(timeout)")
    case .cancelled: throw NameLookupError(host: host, reason: "cancelled")
    }
    guard let result = answer.value else { throw NameLookupError(host: host, reason: "no answer") }
    return try result.get()
  }

  fileprivate typealias Result = Swift.Result<[String], NameLookupError>

  private final class Answer: Sendable {
    private let result = Mutex<Result?>(nil)
    var value: Result? { result.withLock { $0 } }
    func set(_ value: Result) { result.withLock { $0 = value } }
  }

  /// One look-up of a name at a time, whose answer all get that wait for it: a resolver that does not answer holds one
  /// thread for each name, not one for each attempt.
  private final class LookUps: Sendable {
    static let shared = LookUps()
    private let waiting = Mutex<[String: [@Sendable (Result) -> Void]]>([:])

    func start(_ host: String, _ done: @escaping @Sendable (Result) -> Void) {
      let isFirst = waiting.withLock { waiting in
        waiting[host, default: []].append(done)
        return waiting[host]?.count == 1
      }
      guard isFirst else { return }
      let work = Work {
        let result = Result { () throws(NameLookupError) in try NameLookup.lookUp(host) }
        for done in self.waiting.withLock({ $0.removeValue(forKey: host) ?? [] }) { done(result) }
      }
      // A thread of its own: a look-up must not wait for other blocking calls, nor they for it.
      let context = Unmanaged.passRetained(work)
      var thread = pthread_t()
      let status = pthread_create(
        &thread, nil,
        { context in
          Unmanaged<Work>.fromOpaque(context!).takeRetainedValue().body()
          return nil
        }, context.toOpaque())
      if status == 0 {
        pthread_detach(thread)
      } else {
        context.release()
        let error = NameLookupError(
          host: host, reason: "no thread can be started: \(String(cString: strerror(status)))")
        for done in waiting.withLock({ $0.removeValue(forKey: host) ?? [] }) { done(.failure(error)) }
      }
    }
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private static func isAddress(_ host: String) -> Bool {
    var (version4, version6) = (in_addr(), in6_addr())
    return inet_pton(AF_INET, host, &version4) == 1 || inet_pton(AF_INET6, host, &version6) == 1
  }

  private static func lookUp(_ host: String) throws(NameLookupError) -> [String] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, nil, &hints, &list)
    guard status == 0 else { throw NameLookupError(host: host, reason: String(cString: gai_strerror(status))) }
    defer { freeaddrinfo(list) }
    var addresses: [String] = []
    var next = list
    while let info = next?.pointee {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      if getnameinfo(info.ai_addr, info.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
        let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if !addresses.contains(address) { addresses.append(address) }
      }
      next = info.ai_next
    }
    return addresses
  }
}
