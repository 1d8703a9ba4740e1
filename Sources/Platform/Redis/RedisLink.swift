import CHiredis
import Reactor

/// One asynchronous hiredis context on a loop. hiredis frees the context when the connection ends.
final class RedisLink {
  private(set) var context: UnsafeMutablePointer<redisAsyncContext>?
  private var watch: Watch?
  private var interest: Readiness = []
  private var isConnected = false
  var onConnect: (String?) -> Void = { _ in }
  var onEnd: (String) -> Void = { _ in }

  struct Context: @unchecked Sendable {  // unchecked: handed from the thread that made it to the loop, once
    let pointer: UnsafeMutablePointer<redisAsyncContext>
  }

  /// Starts to connect to an address. A name would be looked up here, which blocks.
  static func start(host: String, port: Int32) throws(RedisError) -> Context {
    guard let pointer = redisAsyncConnect(host, port) else {
      throw .notConnected(host: "\(host):\(port)", reason: "out of memory")
    }
    guard pointer.pointee.err == 0 else {
      defer { redisAsyncFree(pointer) }
      throw .notConnected(host: "\(host):\(port)", reason: String(cString: pointer.pointee.errstr))
    }
    return Context(pointer: pointer)
  }

  /// Takes ownership of the context, on the loop.
  func attach(_ context: Context, on reactor: Reactor) throws(WatchError) {
    let pointer = context.pointer
    self.context = pointer
    watch = try reactor.watch(pointer.pointee.c.fd, for: [], label: "redis") { [weak self] ready in
      if ready.contains(.readable) { self?.handleRead() }
      if ready.contains(.writable) { self?.handleWrite() }
    }
    let me = Unmanaged.passRetained(self).toOpaque()
    pointer.pointee.data = me
    pointer.pointee.ev.data = me
    pointer.pointee.ev.addRead = { RedisLink.at($0).change { $0.insert(.readable) } }
    pointer.pointee.ev.delRead = { RedisLink.at($0).change { $0.remove(.readable) } }
    pointer.pointee.ev.addWrite = { RedisLink.at($0).change { $0.insert(.writable) } }
    pointer.pointee.ev.delWrite = { RedisLink.at($0).change { $0.remove(.writable) } }
    pointer.pointee.ev.cleanup = { RedisLink.at($0).detach() }
    redisAsyncSetConnectCallback(pointer) { context, status in
      let link = RedisLink.at(context?.pointee.data)
      link.isConnected = status == REDIS_OK
      link.onConnect(status == REDIS_OK ? nil : RedisLink.problem(context))
    }
    redisAsyncSetDisconnectCallback(pointer) { context, status in
      let link = RedisLink.at(context?.pointee.data)
      link.onEnd(status == REDIS_OK ? "closed" : RedisLink.problem(context))
    }
  }

  private static func at(_ data: UnsafeMutableRawPointer?) -> RedisLink {
    Unmanaged<RedisLink>.fromOpaque(data!).takeUnretainedValue()
  }

  private static func problem(_ context: UnsafePointer<redisAsyncContext>?) -> String {
    guard let text = context?.pointee.errstr else { return "unknown" }
    return String(cString: text)
  }

  /// Changes the readiness that hiredis waits for. hiredis adds “writable” with each command and removes it after the
  /// write, so the loop's watch is updated only at the end of the turn, and only if something changed. Before the
  /// connection is established there is no flush, so the watch is updated immediately.
  private func change(_ body: (inout Readiness) -> Void) {
    body(&interest)
    if !isConnected { watch?.update(interest) }
  }

  private func handleRead() {
    if let context { redisAsyncHandleRead(context) }
  }

  private func handleWrite() {
    if let context { redisAsyncHandleWrite(context) }
  }

  /// Writes pending commands without waiting until the socket is writable. Called at the end of each turn.
  func flush() {
    if interest.contains(.writable) { handleWrite() }
    watch?.update(interest)
  }

  /// hiredis is about to free the context.
  private func detach() {
    guard context != nil else { return }
    watch?.cancel()
    watch = nil
    context = nil
    Unmanaged.passUnretained(self).release()
  }

  /// Closes immediately. Every pending command gets nil as its reply.
  func close() {
    if let context { redisAsyncFree(context) }
  }

  /// Sends a command. Calls `reply` once, with nil if the connection ends first. Returns false if it has already ended.
  func send(_ command: RedisCommand, _ reply: @escaping (RedisValue?) -> Void) -> Bool {
    guard let context else { return false }
    final class Box {
      let body: (RedisValue?) -> Void
      init(_ body: @escaping (RedisValue?) -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(reply))
    let bytes = Array(command.words.joined()) + [0]
    let lengths = command.words.map(\.count)
    let status = bytes.withUnsafeBytes { buffer in
      var next = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      var pointers = lengths.map { length -> UnsafePointer<CChar>? in
        defer { next += length }
        return next
      }
      return redisAsyncCommandArgv(
        context,
        { _, reply, box in
          let box = Unmanaged<Box>.fromOpaque(box!).takeRetainedValue()
          box.body(reply.map { RedisValue($0.assumingMemoryBound(to: redisReply.self)) })
        }, box.toOpaque(), Int32(lengths.count), &pointers, lengths)
    }
    if status != REDIS_OK { box.release() }
    return status == REDIS_OK
  }
}
