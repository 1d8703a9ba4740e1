import Domain
public import Events
import JSON
public import Redis

/// Rows of documents in Redis: `document:<id>` is the row as JSON, with a time to live. It is a cache: absent, or equal to
/// history. The live generation alone writes it.
///
/// The version of each document is kept under the generation's own keys, without expiry: an older change that comes late finds
/// it, after a deletion too.
public struct DocumentCache: ComparableView, AwaitableView {
  public let name = "document-cache"
  public let categories = ["\(Document.category)"]
  private let keys: RedisStore
  /// How long a row stays that nobody reads or changes, in seconds.
  public static let lifetime = 86_400

  public init(_ redis: RedisClient, prefix: String = "annals:") {
    keys = RedisStore(redis, prefix: prefix, view: name)
  }

  public static func key(_ id: String) -> String { "document:\(id)" }

  /// KEYS: the version, the row, the live generation's number. ARGV: version, row or nothing, generation, time to live, and 1
  /// if an equal version is written again.
  static let write = RedisScript(
    "document-cache-write",
    """
    local known = tonumber(redis.call('GET', KEYS[1]) or '0')
    local version = tonumber(ARGV[1])
    if known > version or (known == version and ARGV[5] ~= '1') then return 0 end
    redis.call('SET', KEYS[1], ARGV[1])
    if redis.call('GET', KEYS[3]) == ARGV[3] then
      if ARGV[2] == '' then redis.call('DEL', KEYS[2])
      else redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4]) end
    end
    return 1
    """)

  /// KEYS as above. ARGV: version, row, generation, time to live. Keeps a row that was folded, if it is still the newest.
  static let fill = RedisScript(
    "document-cache-fill",
    """
    if redis.call('GET', KEYS[3]) ~= ARGV[3] or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4])
    return 1
    """)

  public var store: any ViewStore { CacheStore(keys: keys) }

  public func apply(_ changes: [ViewChange], to generation: Int) async throws -> [ViewOutcome] {
    try await write(changes, generation, again: false)
  }

  public func repair(_ changes: [ViewChange], of generation: Int) async throws {
    _ = try await write(changes, generation, again: true)
  }

  private func write(_ changes: [ViewChange], _ generation: Int, again: Bool) async throws -> [ViewOutcome] {
    guard !changes.isEmpty else { return [] }
    let replies = try await keys.redis.evaluate(
      Self.write,
      changes.map { change in
        (
          keys: [keys.key(generation, change.id), Self.key(change.id), keys.liveKey],
          arguments: [
            Array("\(change.version)".utf8), change.after?.bytes ?? [], Array("\(generation)".utf8),
            Array("\(Self.lifetime)".utf8), again ? [0x31] : [0x30],
          ]
        )
      })
    return try keys.outcomes(replies, Self.write)
  }

  public func visibleVersion(of stream: StreamID, atLeast: StreamVersion) async throws -> StreamVersion? {
    guard let live = try await keys.live() else { return nil }
    let reply = try await keys.redis.command(RedisCommand("GET", keys.key(live, stream.id)))
    return reply.text.flatMap { Int64($0) }.map { StreamVersion($0) }
  }

  /// Keeps a row that a reader has folded, unless the view has another version.
  public func keep(_ row: [UInt8], of id: String, at version: StreamVersion) async throws {
    guard let live = try await keys.live() else { return }
    _ = try await keys.redis.evaluate(
      Self.fill, keys: [keys.key(live, id), Self.key(id), keys.liveKey],
      arguments: [Array("\(version)".utf8), row, Array("\(live)".utf8), Array("\(Self.lifetime)".utf8)])
  }

  /// The version in a row image.
  public static func version(of row: [UInt8]) -> StreamVersion? {
    // It is the last member. Parsing the whole row would cost more than reading it.
    let name = Array(#""version":"#.utf8)
    var start = row.count - name.count
    while start >= 0, row[start..<start + name.count] != name[...] { start -= 1 }
    guard start >= 0 else { return nil }
    let digits = row[(start + name.count)...].prefix { (0x30...0x39).contains($0) }
    return Int64(String(decoding: digits, as: UTF8.self)).map { StreamVersion($0) }
  }

  // MARK: Comparison

  public func entries(of change: ViewChange) -> [(id: String, row: ViewRow)] {
    [(change.id, ViewRow(version: change.version, image: change.after?.description))]
  }

  /// The generation's version of each; without an image where the row is not cached.
  public func read(_ ids: [String], of generation: Int) async throws -> [String: ViewRow] {
    let isLive = try await keys.live() == generation
    var commands: [RedisCommand] = []
    for id in ids {
      commands.append(RedisCommand("GET", keys.key(generation, id)))
      commands.append(RedisCommand("GET", Self.key(id)))
    }
    let replies = try await keys.redis.pipeline(commands)
    var rows: [String: ViewRow] = [:]
    for (number, id) in ids.enumerated() {
      let version = replies[2 * number].text.flatMap { Int64($0) }
      let row = isLive ? replies[2 * number + 1].text : nil
      // A row without a version: somebody else has written it.
      guard version != nil || row != nil else { continue }
      rows[id] = ViewRow(version: StreamVersion(version ?? 0), image: row)
    }
    return rows
  }

  /// A row may be absent: it is a cache.
  public func agrees(_ found: ViewRow?, with expected: ViewRow) -> Bool {
    found?.version == expected.version && (found?.image == nil || found?.image == expected.image)
  }

  public func list(
    _ cursor: String?, of generation: Int
  ) async throws -> (entries: [(id: String, stream: StreamID)], next: String?) {
    // First the versions, then the rows that clients see.
    let isRows = cursor?.hasPrefix("rows ") ?? false
    let base = isRows ? Self.key("") : keys.key(generation, "")
    let place = cursor.map { String($0.split(separator: " ")[1]) } ?? "0"
    let page = try await keys.scan(place, RedisStore.pattern(base))
    let ids = page.keys.map { String($0.dropFirst(base.count)) }.filter { !RedisStore.own.contains($0) }
    let isLast = page.cursor == "0"
    let next = isLast ? isRows ? nil : "rows 0" : "\(isRows ? "rows" : "versions") \(page.cursor)"
    return (ids.map { ($0, Document.stream($0)) }, next)
  }

  public func remove(_ ids: [String], of generation: Int) async throws {
    try await keys.unlink(ids.flatMap { [keys.key(generation, $0), Self.key($0)] })
  }
}

/// The cache is one for all generations: it is emptied when another one becomes the live one.
private struct CacheStore: ViewStore {
  let keys: RedisStore

  func make(_ generation: Int) async throws { try await keys.make(generation) }
  func isThere(_ generation: Int, expectsEntries: Bool) async throws -> Bool {
    try await keys.isThere(generation, expectsEntries: expectsEntries)
  }
  func shown() async throws -> Int? { try await keys.shown() }
  func drop(_ generation: Int) async throws { try await keys.drop(generation) }
  var connection: Int? { get async { await keys.connection } }
  func note(_ place: StorePlace, in generation: Int, over connection: Int) async throws {
    try await keys.note(place, in: generation, over: connection)
  }
  func noted(in generation: Int) async throws -> StorePlace { try await keys.noted(in: generation) }

  func activate(_ generation: Int) async throws {
    let done = RedisCommand("EXISTS", keys.key(generation, RedisStore.activated))
    if try await keys.live() == generation, try await keys.redis.command(done).integer == 1 { return }
    try await keys.activate(generation)
    // Rows of the generation before may have another form, or be older. From now on absent ones are folded, and kept again.
    try await keys.forEach("document:*") { try await keys.unlink($0) }
    _ = try await keys.redis.command(RedisCommand("SET", keys.key(generation, RedisStore.activated), "1"))
  }
}
