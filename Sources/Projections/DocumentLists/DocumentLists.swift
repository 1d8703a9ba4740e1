import Time
import Domain
public import Events
import JSON
public import Redis

/// Lists of documents by status and by creator, newest first, and counts by status and day, in Redis. What a change takes out of
/// a list follows from the view's own stored row, not from the message.
public struct DocumentLists: ComparableView, AwaitableView {
  public let name = "document-lists"
  public let categories = ["\(Document.category)"]
  private let keys: RedisStore

  public init(_ redis: RedisClient, prefix: String = "annals:") {
    keys = RedisStore(redis, prefix: prefix, view: name)
  }

  /// KEYS: the document's row. ARGV: version, 1 if an equal version is written again, the generation's prefix, id, and for a
  /// document that is there: status, creator, time of creation in milliseconds, day.
  private static let write = RedisScript(
    "document-lists-write",
    """
    local old = redis.call('HMGET', KEYS[1], 'version', 'status', 'creator', 'day')
    local known, version = tonumber(old[1] or '0'), tonumber(ARGV[1])
    if known > version or (known == version and ARGV[2] ~= '1') then return 0 end
    local base, id = ARGV[3], ARGV[4]
    -- The first write is one that a full server refuses: it looks at the first alone.
    redis.call('HSET', KEYS[1], 'version', ARGV[1])
    if old[2] then
      redis.call('ZREM', base .. 'status:' .. old[2], id)
      redis.call('ZREM', base .. 'creator:' .. old[3], id)
      local count = base .. 'counts'
      if redis.call('HINCRBY', count, old[2] .. ' ' .. old[4], -1) <= 0 then redis.call('HDEL', count, old[2] .. ' ' .. old[4]) end
    end
    redis.call('HDEL', KEYS[1], 'status', 'creator', 'at', 'day')
    if ARGV[5] then
      redis.call('HSET', KEYS[1], 'status', ARGV[5], 'creator', ARGV[6], 'at', ARGV[7], 'day', ARGV[8])
      redis.call('ZADD', base .. 'status:' .. ARGV[5], ARGV[7], id)
      redis.call('ZADD', base .. 'creator:' .. ARGV[6], ARGV[7], id)
      redis.call('HINCRBY', base .. 'counts', ARGV[5] .. ' ' .. ARGV[8], 1)
    end
    return 1
    """)

  public var store: any ViewStore { keys }

  public func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    try await write(changes, generation, again: false)
  }

  public func repair(_ changes: [ViewChange], of generation: Int) async throws {
    _ = try await write(changes, generation, again: true)
  }

  /// The part of a row that decides in which lists it is.
  private struct Place {
    let status: String
    let creator: String
    /// Milliseconds since 1970.
    let at: Int64
    let day: String

    init?(_ row: JSONValue) {
      do {
        let document = try Document(rowImage: row)
        (status, creator) = (document.status.rawValue, document.createdBy)
        at = document.createdAt.microseconds / 1_000
        day = String(document.createdAt.description.prefix(10))
      } catch { return nil }
    }

    var image: String { "\(status), by \(creator), at \(at), on \(day)" }
  }

  private func write(_ changes: [ViewChange], _ generation: Int, again: Bool) async throws -> [ViewOutcome] {
    var outcomes = [ViewOutcome](repeating: .stale, count: changes.count)
    var calls: [(keys: [String], arguments: [[UInt8]])] = []
    var numbers: [Int] = []
    for (number, change) in changes.enumerated() {
      var words = ["\(change.version)", again ? "1" : "0", keys.key(generation, ""), change.id]
      if let row = change.after {
        guard let place = Place(row) else {
          outcomes[number] = .refused(reason: "the row of \(change.stream) is not a document's")
          continue
        }
        words += [place.status, place.creator, "\(place.at)", place.day]
      }
      calls.append(([keys.key(generation, "row:\(change.id)")], words.map { Array($0.utf8) }))
      numbers.append(number)
    }
    guard !calls.isEmpty else { return outcomes }
    let replies = try await keys.redis.evaluate(Self.write, calls)
    for (number, outcome) in zip(numbers, try keys.outcomes(replies, Self.write)) { outcomes[number] = outcome }
    return outcomes
  }

  // MARK: Comparison

  public func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] {
    [(change.id, ViewRow(version: change.version, image: change.after.flatMap { Place($0)?.image }))]
  }

  public func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    let replies = try await keys.redis.pipeline(
      ids.map {
        RedisCommand("HMGET", keys.key(generation, "row:\($0)"), "version", "status", "creator", "at", "day")
      })
    var rows: [String: ViewRow] = [:]
    var checks: [(id: String, at: String)] = []
    var commands: [RedisCommand] = []
    for (id, reply) in zip(ids, replies) {
      guard let fields = reply.array?.map(\.text), fields.count == 5, let version = fields[0].flatMap({ Int64($0) })
      else {
        continue
      }
      var image: String?
      if let status = fields[1], let creator = fields[2], let at = fields[3], let day = fields[4] {
        image = "\(status), by \(creator), at \(at), on \(day)"
        checks.append((id, at))
        commands.append(RedisCommand("ZSCORE", keys.key(generation, "status:\(status)"), id))
        commands.append(RedisCommand("ZSCORE", keys.key(generation, "creator:\(creator)"), id))
      }
      rows[id] = ViewRow(version: StreamVersion(version), image: image)
    }
    // The row alone is not what readers see.
    let scores = try await keys.redis.pipeline(commands)
    for (number, check) in checks.enumerated() {
      let isListed = (0..<2).allSatisfy { place in
        scores[2 * number + place].text.flatMap { Double($0) } == Double(check.at)
      }
      guard !isListed, let row = rows[check.id] else { continue }
      rows[check.id] = ViewRow(version: row.version, image: (row.image ?? "") + ", but not in its lists")
    }
    return rows
  }

  public func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    let base = keys.key(generation, "row:")
    let page = try await keys.scan(cursor ?? "0", RedisStore.pattern(base))
    let ids = page.keys.map { String($0.dropFirst(base.count)) }
    return (ids.map { ($0, Document.stream($0)) }, page.cursor == "0" ? nil : page.cursor)
  }

  public func remove(_ ids: [String], of generation: Int) async throws {
    // As if the document had been deleted: the script takes it out of its lists.
    let far = "9007199254740991"
    _ = try await keys.redis.evaluate(
      Self.write,
      ids.map {
        ([keys.key(generation, "row:\($0)")], [far, "1", keys.key(generation, ""), $0].map { Array($0.utf8) })
      })
    try await keys.unlink(ids.map { keys.key(generation, "row:\($0)") })
  }

  // MARK: Reading

  public func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion? {
    guard let live = try await keys.live() else { return nil }
    let reply = try await keys.redis.command(RedisCommand("HGET", keys.key(live, "row:\(stream.id)"), "version"))
    return reply.text.flatMap { Int64($0) }.map { StreamVersion($0) }
  }

  public enum List: Sendable {
    case status(String)
    case creator(String)
  }

  /// Ids of a list, newest first, and how many it has.
  public func documents(
    in list: List, from: Int, limit: Int
  ) async throws -> (total: Int64, ids: [String]) {
    let live = try await keys.liveForReaders()
    let key =
      switch list {
      case .status(let status): keys.key(live, "status:\(status)")
      case .creator(let creator): keys.key(live, "creator:\(creator)")
      }
    let replies = try await keys.redis.pipeline([
      RedisCommand("ZCARD", key), RedisCommand("ZRANGE", key, "\(from)", "\(from + limit - 1)", "REV"),
    ])
    for case .error(let reason) in replies { throw RedisError.refused(command: "ZRANGE", reason: reason) }
    return (replies[0].integer ?? 0, replies[1].array?.compactMap(\.text) ?? [])
  }

  public struct Count: Equatable, Sendable {
    public let status: String
    /// `2026-11-27`
    public let day: String
    public let count: Int64
  }

  /// How many documents there are of each status and day of creation, by day and status.
  public func counts() async throws -> [Count] {
    let live = try await keys.liveForReaders()
    let reply = try await keys.redis.command(RedisCommand("HGETALL", keys.key(live, "counts")))
    if case .error(let reason) = reply { throw RedisError.refused(command: "HGETALL", reason: reason) }
    let fields = reply.array?.compactMap(\.text) ?? []
    return stride(from: 0, to: fields.count - 1, by: 2).compactMap { index in
      let words = fields[index].split(separator: " ")
      guard words.count == 2, let count = Int64(fields[index + 1]) else { return nil }
      return Count(status: String(words[0]), day: String(words[1]), count: count)
    }.sorted { ($0.day, $0.status) < ($1.day, $1.status) }
  }
}
