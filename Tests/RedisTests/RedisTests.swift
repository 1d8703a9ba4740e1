import Metrics
import Reactor
import Redis
import Support
import Testing

func withRedis<Value: Sendable>(
  _ body: @Sendable (RedisClient, Reactor) async throws -> Value
) async throws -> Value {
  try await withReactor { reactor in
    let client = RedisClient(
      try RedisOptions(url: try Stack.redis), on: reactor, logger: quietLogger(), metrics: MetricsRegistry())
    try await client.start()
    let result: Result<Value, any Error>
    do { result = .success(try await body(client, reactor)) } catch { result = .failure(error) }
    await client.close()
    return try result.get()
  }
}

@Suite("Redis", .workLimit(minutes: 5)) struct RedisTests {
  @Test("answers pipelined commands in order, whatever bytes they carry")
  func pipeline() async throws {
    try await withRedis { redis, _ in
      let key = Stack.uniqueName("key")
      let blob: [UInt8] = [0, 13, 10, 255]
      let replies = try await redis.pipeline([
        RedisCommand(words: [Array("SET".utf8), Array(key.utf8), blob]), RedisCommand("GET", key),
        RedisCommand("INCR", key), RedisCommand("DEL", key), RedisCommand("GET", key),
        RedisCommand("LRANGE", "\(key)-none", "0", "1"),
      ])
      #expect(replies[0] == .status("OK"))
      #expect(replies[1] == .string(blob))
      guard case .error = replies[2] else { return #expect(Bool(false), "INCR of bytes was allowed") }
      #expect(replies[3] == .integer(1))
      #expect(replies[4] == .null)
      #expect(replies[5] == .array([]))
    }
  }

  @Test("runs scripts, also after the server forgot them")
  func scripts() async throws {
    try await withRedis { redis, _ in
      let script = RedisScript(Stack.uniqueName("add"), "return redis.call('INCRBY', KEYS[1], ARGV[1])")
      let key = Stack.uniqueName("key")
      for expected in [Int64(2), 4] {
        #expect(try await redis.evaluate(script, keys: [key], arguments: [Array("2".utf8)]) == .integer(expected))
        _ = try await redis.command(RedisCommand("SCRIPT", "FLUSH"))
      }
      _ = try await redis.command(RedisCommand("DEL", key))
    }
  }

  @Test("connects again when the server ends the connection, and fails what was under way")
  func reconnect() async throws {
    try await withRedis { redis, reactor in
      let id = try await redis.command(RedisCommand("CLIENT", "ID")).integer ?? 0
      let other = RedisClient(
        try RedisOptions(url: try Stack.redis), on: reactor, logger: quietLogger(), metrics: MetricsRegistry())
      try await other.start()
      let blocked = Task(executorPreference: reactor) {
        try await redis.command(RedisCommand("BLPOP", Stack.uniqueName("none"), "30"))
      }
      try await eventually("it is blocked", on: reactor) {
        try await other.command(RedisCommand("CLIENT", "LIST", "ID", "\(id)")).text?.contains("cmd=blpop") ?? false
      }
      _ = try await other.command(RedisCommand("CLIENT", "KILL", "ID", "\(id)"))
      await #expect(throws: RedisError.self) { try await blocked.value }
      try await eventually("it answers again", on: reactor) {
        do { return try await redis.command(RedisCommand("PING")) == .status("PONG") } catch { return false }
      }
      await other.close()
    }
  }

  @Test("gives up on a server that does not answer")
  func timeout() async throws {
    try await withReactor { reactor in
      let client = RedisClient(
        try RedisOptions(url: try Stack.redis, timeout: .milliseconds(300)), on: reactor, logger: quietLogger(),
        metrics: MetricsRegistry())
      try await client.start()
      await #expect(throws: RedisError.self) {
        try await client.command(RedisCommand("BLPOP", Stack.uniqueName("none"), "30"))
      }
      await client.close()
    }
  }

  @Test("an unreachable server is named with the remedy, again and again")
  func unreachable() async throws {
    try await withReactor { reactor in
      let client = RedisClient(
        try RedisOptions(url: "redis://127.0.0.1:1"), on: reactor, logger: quietLogger(), metrics: MetricsRegistry())
      do {
        try await client.start()
        Issue.record("connected to nothing")
      } catch {
        #expect("\(error)".contains("127.0.0.1:1"))
        #expect("\(error)".contains("ANNALS_REDIS_URL"))
      }
      await #expect(throws: RedisError.self) { try await client.command(RedisCommand("PING")) }
      await client.close()
    }
  }

  @Test("addresses are read or refused")
  func addresses() throws {
    let options = try RedisOptions(url: "redis://:secret@host:7/3")
    #expect((options.host, options.port, options.password, options.database) == ("host", 7, "secret", 3))
    let named = try RedisOptions(url: "redis://u%40x:p%3A%2F%40%25@[::1]:8")
    #expect((named.user, named.password) == ("u@x", "p:/@%"))
    #expect((named.host, named.port) == ("::1", 8))
    for bad in [
      "host", "redis://", "redis://h:x", "redis://h/x", "http://h", "redis://:hunter2@", "redis://hunter2@h",
      "rediss://:hunter2@h", "redis://:hunter2%4@h", "redis://:hunter2@h:0", "redis://:hunter2@h/-1",
    ] {
      let error = #expect(throws: RedisError.self) { try RedisOptions(url: bad) }
      #expect(error.map { "\($0)".contains("hunter2") } == false, "\(bad)")
    }
  }

  @Test(
    "signs in with a user and chooses a database before others use the connection; a wrong password is not asked all the time"
  )
  func signIn() async throws {
    try await withRedis { redis, reactor in
      let (user, key) = (Stack.uniqueName("user"), Stack.uniqueName("key"))
      _ = try await redis.command(RedisCommand("ACL", "SETUSER", user, "on", ">p@ss", "~*", "+@all"))
      let address = try Stack.redis.dropFirst("redis://".count)
      func client(_ password: String) throws -> RedisClient {
        RedisClient(
          try RedisOptions(url: "redis://\(user):\(password)@\(address)/3"), on: reactor, logger: quietLogger(),
          metrics: MetricsRegistry())
      }
      let good = try client("p%40ss")
      try await good.start()
      #expect(try await good.command(RedisCommand("ACL", "WHOAMI")).text == user)
      #expect(try await good.command(RedisCommand("SET", key, "1")) == .status("OK"))
      // It is in database 3, not in the default one.
      #expect(try await redis.command(RedisCommand("EXISTS", key)) == .integer(0))
      _ = try await good.command(RedisCommand("DEL", key))
      await good.close()
      let wrong = try client("wrong")
      let error = await #expect(throws: RedisError.self) { try await wrong.start() }
      #expect(error.map { "\($0)".contains("AUTH") && !"\($0)".contains("wrong") } == true)
      // While nobody is signed in, a call fails.
      await #expect(throws: RedisError.self) { try await wrong.command(RedisCommand("PING")) }
      await wrong.close()
      _ = try await redis.command(RedisCommand("ACL", "DELUSER", user))
    }
  }
}
