import CWslay
import Glibc
public import Reactor

/// A server's end of a WebSocket (RFC 6455) on a reactor's loop: wslay reads what the client sends, checks it, and answers pings
/// and closes.
///
/// A socket at rest holds no buffers: wslay's eight kilobytes are there only while a frame arrives.
public final class WebSocket {
  /// How a socket ended.
  public enum End: Equatable, Sendable {
    /// Both sides have said goodbye.
    case closed(code: UInt16)
    /// The connection broke, or the client said nothing for too long.
    case gone
  }

  /// Limits of a socket.
  public struct Options: Sendable {
    /// What may wait to be sent, in bytes.
    public var outgoing = 256 << 10
    /// What the kernel may keep of it beside, in bytes.
    public var kernel = 64 << 10
    /// The largest message of a client, in bytes.
    public var incoming = 64 << 10
    /// After so long without a word from the client it is asked for one; after twice that it is gone.
    public var idle = Duration.seconds(30)
    /// How long a client may take to answer a close, once everything is on its way.
    public var farewell = Duration.seconds(2)
    /// How long a client may take for what waits before a close.
    public var draining = Duration.seconds(30)

    public init() {}
  }

  /// Codes of a close (RFC 6455, section 7.4).
  public enum Code {
    public static let goingAway: UInt16 = 1001
    static let protocolError: UInt16 = 1002
    static let tooLarge: UInt16 = 1009
    public static let internalError: UInt16 = 1011
  }

  private let reactor: Reactor
  private let options: Options
  private var descriptor: Int32
  private var watch: Watch?
  private var parser: wslay_event_context_ptr?
  private var farewell: LoopTimer?

  /// What was read and not yet given to wslay.
  private var input: [UInt8] = []
  private var inputOffset = 0
  /// What could not be written yet.
  private var output: [UInt8] = []
  private var outputOffset = 0
  /// Bytes that wslay has got, and those of whole frames.
  private var (given, parsed) = (0, 0)
  private var isInMessage = false
  private var lastHeard = ContinuousClock.now
  private var lastAsked = ContinuousClock.now
  private var hasSentClose = false
  private var isRefused = false
  /// A close of one byte came: half a code, which wslay takes for none.
  private var isMalformed = false
  /// Of the message that arrives, in bytes.
  private var messageSize = 0
  private var isTooLarge = false

  /// nil: it is open.
  public private(set) var end: End?
  /// Bytes that the client has not taken yet, beside those that the kernel has.
  public var waiting: Int { output.count - outputOffset }
  /// When the client last took some.
  public private(set) var lastTaken = ContinuousClock.now
  /// Called once, on the loop, when it has ended.
  public var onEnd: (() -> Void)?

  /// Takes over a descriptor. On the loop.
  ///
  /// - Parameter extra: What the client sent behind its handshake.
  public init(_ descriptor: Int32, extra: [UInt8], options: Options = Options(), on reactor: Reactor) throws {
    (self.descriptor, self.options, self.reactor) = (descriptor, options, reactor)
    var on: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    // The kernel's part of what may wait: by itself it would keep megabytes for a slow client.
    var kept = Int32(options.kernel)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &kept, socklen_t(MemoryLayout<Int32>.size))
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    do {
      watch = try reactor.watch(descriptor, for: .readable, label: "websocket") { [weak self] ready in
        self?.isReady(ready)
      }
    } catch {
      Glibc.close(descriptor)
      throw error
    }
    if !extra.isEmpty { take(extra) }
  }

  deinit { if let parser { wslay_event_context_free(parser) } }

  // MARK: Sending

  /// Sends a frame, or keeps it until the client takes it.
  ///
  /// - Returns: False if the client is too slow: nothing more may wait.
  public func send(_ frame: WebSocketFrame) -> Bool {
    guard end == nil, !hasSentClose else { return true }
    guard output.count - outputOffset + frame.bytes.count <= options.outgoing else { return false }
    write(frame.bytes)
    return true
  }

  /// Says goodbye. The socket ends when the client has answered, or after a moment.
  ///
  /// - Parameter reason: At most 123 bytes.
  public func close(_ code: UInt16, _ reason: String) {
    guard end == nil, !hasSentClose else { return }
    let parser = opened()
    let reason = Array(reason.utf8.prefix(123))
    wslay_event_queue_close(parser, code, reason, reason.count)
    pump()
  }

  /// Asks a silent client for a sign of life, and gives it up after a long silence. To be called from time to time.
  public func look() {
    guard end == nil else { return }
    let now = ContinuousClock.now
    if now - lastHeard > options.idle * 2 { return finish(.gone) }
    if now - lastHeard > options.idle, now - lastAsked > options.idle {
      lastAsked = now
      _ = send(.ping)
    }
  }

  private func write(_ bytes: [UInt8]) {
    guard outputOffset == output.count else {
      output += bytes
      // Pongs and closes are answers to the client: one that sends and does not read gets no more memory.
      if waiting > options.outgoing * 2 { finish(.gone) }
      updateInterest()
      return
    }
    let sent = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    if sent == bytes.count { return }
    guard sent >= 0 || errno == EAGAIN || errno == EINTR else { return finish(.gone) }
    (output, outputOffset) = (Array(bytes[max(0, sent)...]), 0)
    updateInterest()
  }

  /// Nothing is read of a client that does not take its answers.
  private func updateInterest() {
    guard end == nil else { return }
    var interest: Readiness = waiting > options.outgoing / 4 ? [] : .readable
    if waiting > 0 { interest.insert(.writable) }
    watch?.update(interest)
  }

  private func flush() {
    while outputOffset < output.count {
      let sent = output.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + outputOffset, $0.count - outputOffset, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else {
        guard errno == EAGAIN || errno == EINTR else { return finish(.gone) }
        // What is sent is let go: a client that keeps pace, and never quite, would have it all kept.
        if outputOffset > 64 << 10 {
          output.removeFirst(outputOffset)
          outputOffset = 0
        }
        return updateInterest()
      }
      outputOffset += sent
      lastTaken = .now
    }
    (output, outputOffset) = ([], 0)
    updateInterest()
    if hasSentClose { farewell?.start(after: options.farewell) }
    if isRefused { shutdown(descriptor, Int32(SHUT_WR)) }
    endIfClosed()
  }

  // MARK: Receiving

  private func isReady(_ ready: Readiness) {
    if ready.contains(.writable) { flush() }
    guard ready.contains(.readable), end == nil else { return }
    var buffer = [UInt8](repeating: 0, count: 4_096)
    // The rest waits for the next turn: one client must not keep the others waiting.
    for _ in 0..<4 where end == nil {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count == 0 { return finish(hasSentClose ? .closed(code: code) : .gone) }
      guard count > 0 else {
        if errno == EAGAIN || errno == EINTR { return }
        return finish(.gone)
      }
      take(Array(buffer[..<count]))
      if count < buffer.count { return }
    }
  }

  private func take(_ bytes: [UInt8]) {
    lastHeard = .now
    (input, inputOffset) = (bytes, 0)
    given += bytes.count
    guard !isRefused else { return }
    guard wslay_event_recv(opened()) == 0, !isMalformed else {
      return refuse(WebSocketFrame.protocolError, Code.protocolError)
    }
    guard !isTooLarge else { return refuse(WebSocketFrame.tooLarge, Code.tooLarge) }
    pump()
    rest()
  }

  /// Gives wslay's memory back where nothing has begun.
  private func rest() {
    guard let parser, end == nil, !hasSentClose, given == parsed, !isInMessage, wslay_event_want_write(parser) == 0,
      wslay_event_want_read(parser) == 1
    else { return }
    wslay_event_context_free(parser)
    self.parser = nil
    (given, parsed, input) = (0, 0, [])
  }

  private func opened() -> wslay_event_context_ptr {
    if let parser { return parser }
    var callbacks = Self.callbacks
    var new: wslay_event_context_ptr?
    precondition(
      wslay_event_context_server_init(&new, &callbacks, Unmanaged.passUnretained(self).toOpaque()) == 0, "out of memory"
    )
    wslay_event_config_set_max_recv_msg_length(new, UInt64(options.incoming))
    // A message's text is checked and not kept: in small fragments it would take a hundred times its size.
    wslay_event_config_set_no_buffering(new, 1)
    parser = new
    return new!
  }

  /// Sends what wslay has to say: pongs and closes.
  private func pump() {
    guard let parser, end == nil else { return }
    while wslay_event_want_write(parser) == 1, end == nil {
      guard wslay_event_send(parser) == 0 else { return finish(.gone) }
    }
    if wslay_event_get_close_sent(parser) == 1 { hasSaidGoodbye(code) }
    endIfClosed()
  }

  /// A close is on its way: nothing is sent behind it.
  private func hasSaidGoodbye(_ code: UInt16) {
    guard !hasSentClose, end == nil else { return }
    hasSentClose = true
    farewell = reactor.timer(label: "websocket farewell") { [weak self] in self?.finish(.closed(code: code)) }
    farewell?.start(after: outputOffset == output.count ? options.farewell : options.draining)
  }

  /// The client's bytes are no frames. What it still sends is not looked at.
  private func refuse(_ farewell: WebSocketFrame, _ code: UInt16) {
    guard !hasSentClose else { return }
    isRefused = true
    write(farewell.bytes)
    hasSaidGoodbye(code)
    if end == nil, outputOffset == output.count { shutdown(descriptor, Int32(SHUT_WR)) }
  }

  /// Once both sides have said goodbye, the server closes first (RFC 6455, section 7.1.1).
  private func endIfClosed() {
    guard let parser, end == nil, hasSentClose, !isRefused, outputOffset == output.count else { return }
    if wslay_event_get_close_received(parser) == 1 || wslay_event_want_read(parser) == 0 {
      // The client reads the close before the connection ends.
      shutdown(descriptor, Int32(SHUT_WR))
      if wslay_event_get_close_received(parser) == 1 { finish(.closed(code: code)) }
    }
  }

  private var code: UInt16 {
    guard let parser else { return 1005 }
    let received = wslay_event_get_status_code_received(parser)
    return wslay_event_get_close_received(parser) == 1 ? received : wslay_event_get_status_code_sent(parser)
  }

  /// Ends it at once, on the loop. May be called again.
  public func finish(_ end: End = .gone) {
    guard self.end == nil else { return }
    self.end = end
    watch?.cancel()
    farewell?.cancel()
    (watch, farewell) = (nil, nil)
    // Another descriptor of this connection may still be open somewhere: it ends all the same.
    shutdown(descriptor, Int32(SHUT_RDWR))
    Glibc.close(descriptor)
    descriptor = -1
    (input, output, outputOffset) = ([], [], 0)
    onEnd?()
    onEnd = nil
  }

  // MARK: Callbacks of wslay

  private static func me(_ context: UnsafeMutableRawPointer?) -> WebSocket {
    Unmanaged<WebSocket>.fromOpaque(context!).takeUnretainedValue()
  }

  private static let callbacks = wslay_event_callbacks(
    recv_callback: { parser, buffer, length, _, context in
      let me = WebSocket.me(context)
      let count = min(length, me.input.count - me.inputOffset)
      guard count > 0 else {
        wslay_event_set_error(parser, Int32(WSLAY_ERR_WOULDBLOCK.rawValue))
        return -1
      }
      _ = me.input.withUnsafeBytes { memcpy(buffer!, $0.baseAddress! + me.inputOffset, count) }
      me.inputOffset += count
      return count
    },
    send_callback: { _, data, length, _, context in
      let me = WebSocket.me(context)
      me.write(Array(UnsafeBufferPointer(start: data, count: length)))
      return length
    },
    genmask_callback: nil,
    on_frame_recv_start_callback: { _, frame, context in
      let (me, frame) = (WebSocket.me(context), frame!.pointee)
      let length = Int(clamping: frame.payload_length)
      // A client's frames are masked: four bytes more.
      me.parsed += 6 + (length < 126 ? 0 : length < 65_536 ? 2 : 8) + length
      guard frame.opcode < 8 else { return }
      me.messageSize += min(length, me.options.incoming + 1)
      if me.messageSize > me.options.incoming { me.isTooLarge = true }
      me.isInMessage = frame.fin == 0
      if frame.fin == 1 { me.messageSize = 0 }
    },
    on_frame_recv_chunk_callback: nil, on_frame_recv_end_callback: nil,
    // What a client says is checked and not used.
    on_msg_recv_callback: { _, message, context in
      guard let message = message?.pointee, message.opcode == UInt8(WSLAY_CONNECTION_CLOSE.rawValue) else { return }
      if message.msg_length == 1 { WebSocket.me(context).isMalformed = true }
    })
}
