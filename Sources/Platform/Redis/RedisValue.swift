import PercentCoding
import CHiredis

/// A reply of Redis (RESP2).
public enum RedisValue: Equatable, Sendable {
  case null
  case status(String)
  case integer(Int64)
  case string([UInt8])
  case array([RedisValue])
  /// An error reply: the server's message.
  case error(String)

  init(_ reply: UnsafePointer<redisReply>) {
    let reply = reply.pointee
    func bytes() -> [UInt8] { Array(UnsafeRawBufferPointer(start: reply.str, count: Int(reply.len))) }
    switch reply.type {
    case REDIS_REPLY_STRING: self = .string(bytes())
    case REDIS_REPLY_STATUS: self = .status(String(decoding: bytes(), as: UTF8.self))
    case REDIS_REPLY_INTEGER: self = .integer(reply.integer)
    case REDIS_REPLY_ERROR: self = .error(String(decoding: bytes(), as: UTF8.self))
    case REDIS_REPLY_ARRAY:
      self = .array((0..<Int(reply.elements)).map { RedisValue(reply.element[$0]!) })
    default: self = .null
    }
  }

  public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  public var bytes: [UInt8]? { if case .string(let value) = self { value } else { nil } }
  public var text: String? {
    switch self {
    case .string(let bytes): String(decoding: bytes, as: UTF8.self)
    case .status(let text): text
    default: nil
    }
  }
  public var array: [RedisValue]? { if case .array(let values) = self { values } else { nil } }
}

/// A command and its arguments.
public struct RedisCommand: Sendable {
  public var words: [[UInt8]]

  public init(_ words: String...) { self.words = words.map { Array($0.utf8) } }
  public init(words: [[UInt8]]) { self.words = words }

  public mutating func append(_ word: String) { words.append(Array(word.utf8)) }
  public mutating func append(_ word: [UInt8]) { words.append(word) }

  var byteCount: Int { words.reduce(0) { $0 + $1.count } }

  /// The command's name, for errors. Errors never show its arguments.
  public var name: String { words.first.map { String(decoding: $0, as: UTF8.self) } ?? "" }
}

/// A failed Redis command or connection.
public enum RedisError: Error, Equatable, Sendable, CustomStringConvertible {
  case notConnected(host: String, reason: String)
  /// The connection broke. Pending commands may or may not have run.
  case connectionLost(host: String, reason: String)
  case timedOut(host: String, after: Duration)
  case overloaded(host: String, waiting: Int)
  case refused(command: String, reason: String)
  /// With the problem; never with the URL, which may have a password.
  case invalidURL(String)
  case cancelled

  public var isRetriable: Bool {
    switch self {
    case .notConnected, .connectionLost, .timedOut, .overloaded: true
    // The server refuses for now: it loads, is busy, has no memory left, or is a replica.
    case .refused(_, let reason):
      ["LOADING", "BUSY", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "MISCONF"].contains
      {
        reason.hasPrefix($0)
      }
    case .invalidURL, .cancelled: false
    }
  }

  public var description: String {
    switch self {
    case .notConnected(let host, let reason):
      "Redis at \(host) cannot be reached: \(reason). Is it running, and is ANNALS_REDIS_URL right?"
    case .connectionLost(let host, let reason): "the connection to Redis at \(host) broke: \(reason)"
    case .timedOut(let host, let after): "Redis at \(host) did not answer within \(after)"
    case .overloaded(let host, let waiting): "\(waiting) commands wait for Redis at \(host); no more are accepted"
    case .refused(let command, let reason): "Redis refused \(command): \(reason)"
    case .invalidURL(let problem):
      "redis.url is no address of Redis: \(problem). Write redis://[[user]:password@]host[:port][/database]"
    case .cancelled: "the wait for Redis was cancelled"
    }
  }
}

/// The address of a server: `redis://[[user]:password@]host[:port][/database]`, percent-encoded.
public struct RedisOptions: Sendable {
  public let host: String
  public let port: Int32
  /// nil: the server's default user.
  public let user: String?
  public let password: String?
  public let database: Int
  public var timeout: Duration

  /// - Throws: `RedisError.invalidURL`, which does not repeat the URL: it may have a password.
  public init(url: String, timeout: Duration = .seconds(2)) throws(RedisError) {
    if url.hasPrefix("rediss://") {
      throw .invalidURL("rediss:// (TLS) is not supported; use a tunnel such as stunnel, and redis://")
    }
    guard url.hasPrefix("redis://") else { throw .invalidURL("it does not begin with redis://") }
    var rest = url.dropFirst("redis://".count)
    if let at = rest.lastIndex(of: "@") {
      let parts = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, let name = PercentCoding.decoded(parts[0].utf8),
        let secret = PercentCoding.decoded(parts[1].utf8)
      else {
        throw .invalidURL("what comes before @ must be user:password or :password, percent-encoded")
      }
      (user, password) = (name.isEmpty ? nil : name, secret)
      rest = rest[rest.index(after: at)...]
    } else {
      (user, password) = (nil, nil)
    }
    let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    var (host, port) = (parts[0], Substring("6379"))
    if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
      let after = host[host.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { throw .invalidURL("the host is malformed") }
      if !after.isEmpty { port = after.dropFirst() }
      host = host[host.index(after: host.startIndex)..<end]
    } else if let colon = host.firstIndex(of: ":") {
      (host, port) = (host[..<colon], host[host.index(after: colon)...])
    }
    guard !host.isEmpty, let number = Int32(port), (1...65_535).contains(number) else {
      throw .invalidURL("the host is missing, or the port is not a number from 1 to 65535")
    }
    guard let database = parts.count == 2 && !parts[1].isEmpty ? Int(parts[1]) : 0, database >= 0 else {
      throw .invalidURL("the database is not a number")
    }
    (self.host, self.port, self.database, self.timeout) = (String(host), number, database, timeout)
  }
}
