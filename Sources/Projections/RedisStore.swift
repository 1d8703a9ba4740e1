import Kafka
public import Redis

/// The keys of one view in Redis, below `<prefix><view>:<generation>:`. A marker without expiry says that the generation is
/// there: a server that lost everything has none.
public struct RedisStore: ViewStore {
  public let redis: RedisClient
  private let base: String

  /// - Parameter prefix: Of all keys that are none of the clients', for example `annals:`.
  public init(_ redis: RedisClient, prefix: String, view: String) {
    (self.redis, base) = (redis, "\(prefix)\(view):")
  }

  static let marker = "marker"
  /// Says that all that an activation does is done.
  static let activated = "activated"
  /// How far the generation is.
  static let place = "place"
  /// Keys of a generation that are no entries.
  static let own: Set<String> = [marker, activated, place]

  /// The number of the generation that readers use.
  public var liveKey: String { "\(base)live" }
  public func key(_ generation: Int, _ name: String) -> String { "\(base)\(generation):\(name)" }

  public func make(_ generation: Int) async throws {
    let reply = try await redis.command(RedisCommand("SET", key(generation, Self.marker), "1"))
    if case .error(let reason) = reply { throw RedisError.refused(command: "SET", reason: reason) }
  }

  public func shown() async throws -> Int? { try await live() }

  /// The marker says it: a view may be without entries.
  public func isThere(_ generation: Int, expectsEntries: Bool) async throws -> Bool {
    let reply = try await redis.command(RedisCommand("EXISTS", key(generation, Self.marker)))
    if case .error(let reason) = reply { throw RedisError.refused(command: "EXISTS", reason: reason) }
    return reply.integer == 1
  }

  public var connection: Int? { get async { await redis.connections } }

  /// The field of the place that says what the generation was built of.
  private static let built = "built"

  public func note(_ place: StorePlace, in generation: Int, over connection: Int) async throws {
    var command = RedisCommand(
      "HSET", key(generation, Self.place), Self.built, place.builtTo.map { "to \($0)" } ?? "all")
    for (partition, offset) in place.offsets {
      command.append("\(partition.topic)/\(partition.partition)")
      command.append("\(offset)")
    }
    guard await redis.connections == connection else { throw StoreReconnected() }
    let reply = try await redis.pipeline([command], over: connection)[0]
    if case .error(let reason) = reply { throw RedisError.refused(command: "HSET", reason: reason) }
  }

  public func noted(in generation: Int) async throws -> StorePlace {
    let reply = try await redis.command(RedisCommand("HGETALL", key(generation, Self.place)))
    if case .error(let reason) = reply { throw RedisError.refused(command: "HGETALL", reason: reason) }
    let fields = reply.array?.compactMap(\.text) ?? []
    var place = StorePlace(builtTo: "", offsets: [:])
    for index in stride(from: 0, to: fields.count - 1, by: 2) {
      let (name, value) = (fields[index], fields[index + 1])
      if name == Self.built {
        place.builtTo = value == "all" ? nil : String(value.dropFirst(3))
      } else if let slash = name.lastIndex(of: "/"), let number = Int32(name[name.index(after: slash)...]),
        let offset = Int64(value)
      {
        place.offsets[TopicPartition(topic: String(name[..<slash]), partition: number)] = offset
      }
    }
    return place
  }

  public func activate(_ generation: Int) async throws {
    // An earlier generation may become live again.
    if let before = try await live(), before != generation {
      _ = try await redis.command(RedisCommand("DEL", key(before, Self.activated)))
    }
    let reply = try await redis.command(RedisCommand("SET", liveKey, "\(generation)"))
    if case .error(let reason) = reply { throw RedisError.refused(command: "SET", reason: reason) }
  }

  public func live() async throws(RedisError) -> Int? {
    let reply = try await redis.command(RedisCommand("GET", liveKey))
    if case .error(let reason) = reply { throw .refused(command: "GET", reason: reason) }
    return reply.text.flatMap { Int($0) }
  }

  /// - Throws: If there is no live generation: an empty answer would be a wrong one.
  func liveForReaders() async throws(RedisError) -> Int {
    guard let live = try await live() else { throw .refused(command: "GET", reason: "no generation is live yet") }
    return live
  }

  public func drop(_ generation: Int) async throws {
    try await forEach(Self.pattern("\(base)\(generation):")) { try await unlink($0) }
  }

  /// A pattern of all keys that begin with a text.
  static func pattern(_ prefix: String) -> String {
    String(prefix.flatMap { "*?[]\\^".contains($0) ? ["\\", $0] : [$0] }) + "*"
  }

  func unlink(_ keys: [String]) async throws(RedisError) {
    guard !keys.isEmpty else { return }
    var command = RedisCommand("UNLINK")
    for key in keys { command.append(key) }
    let reply = try await redis.command(command)
    if case .error(let reason) = reply { throw .refused(command: "UNLINK", reason: reason) }
  }

  /// Walks over keys, some at a time. Keys that come meanwhile may be left out.
  func forEach(_ pattern: String, _ body: ([String]) async throws -> Void) async throws {
    var cursor = "0"
    repeat {
      let page = try await scan(cursor, pattern)
      cursor = page.cursor
      if !page.keys.isEmpty { try await body(page.keys) }
    } while cursor != "0"
  }

  func scan(_ cursor: String, _ pattern: String) async throws(RedisError) -> (cursor: String, keys: [String]) {
    let reply = try await redis.command(RedisCommand("SCAN", cursor, "MATCH", pattern, "COUNT", "1000"))
    // The prefix is an operator's and may have characters of patterns: see `pattern(_:)`.
    if case .error(let reason) = reply { throw .refused(command: "SCAN", reason: reason) }
    guard let parts = reply.array, parts.count == 2, let next = parts[0].text else {
      throw .refused(command: "SCAN", reason: "an answer without a cursor")
    }
    return (next, parts[1].array?.compactMap(\.text) ?? [])
  }

  /// Outcomes of scripts that return 1 if they changed something. What the server refuses for now is thrown.
  func outcomes(_ replies: [RedisValue], _ script: RedisScript) throws(RedisError) -> [ViewOutcome] {
    var outcomes: [ViewOutcome] = []
    for reply in replies {
      switch reply {
      case .integer(1): outcomes.append(.applied)
      case .integer: outcomes.append(.stale)
      case .error(let reason): throw .refused(command: script.name, reason: reason)
      default: throw .refused(command: script.name, reason: "an answer that is no number")
      }
    }
    return outcomes
  }
}
