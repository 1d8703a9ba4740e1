import CCurl

/// A transfer whose bodies pass through queues, which are bounded: curl is paused while the queue of the response is
/// full or the queue of the request is empty.
final class StreamedTransfer: Transfer, @unchecked Sendable {  // unchecked: used only on the reactor's loop
  static let highWater = 256 << 10
  static let lowWater = 64 << 10
  /// Pieces are joined up to this size, in bytes.
  private static let joined = 64 << 10

  private var outgoing: [[UInt8]] = []
  private var offset = 0
  private var outgoingBytes = 0
  private var isBodyWritten = false
  private var isSendingPaused = false

  private var incoming: [[UInt8]] = []
  private var incomingBytes = 0
  private var isReceivingPaused = false
  private(set) var head: (status: Int, headers: [(name: String, value: String)])?

  private(set) var result: Result<Void, HTTPClientError>?
  private var waiter: CheckedContinuation<Void, Never>?
  /// How often something has changed that a waiting task wants to know.
  private(set) var changes = 0
  private var progress = ContinuousClock.now

  /// - Parameter length: Of the request's body, in bytes; nil: it has none.
  init(
    _ request: HTTPRequest, length: Int?, number: Int, easy: UnsafeMutableRawPointer, connectTimeout: Duration
  ) {
    super.init(request, number: number, easy: easy, connectTimeout: connectTimeout)
    annals_curl_set_long(easy, CURLOPT_BUFFERSIZE, 128 << 10)
    guard let length else { return }
    annals_curl_set_long(easy, CURLOPT_UPLOAD, 1)
    annals_curl_set_long(easy, CURLOPT_UPLOAD_BUFFERSIZE, 128 << 10)
    annals_curl_set_size(easy, CURLOPT_INFILESIZE_LARGE, curl_off_t(length))
    annals_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    annals_curl_set_pointer(easy, CURLOPT_READDATA, Unmanaged.passUnretained(self).toOpaque())
    annals_curl_set_data(easy, CURLOPT_READFUNCTION) { bytes, size, count, context in
      Unmanaged<StreamedTransfer>.fromOpaque(context!).takeUnretainedValue()
        .send(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
    }
  }

  // MARK: Called by curl

  private func send(_ space: UnsafeMutableRawBufferPointer) -> Int {
    progress = .now
    guard let first = outgoing.first else {
      if isBodyWritten { return 0 }
      isSendingPaused = true
      return Int(CURL_READFUNC_PAUSE)
    }
    let count = min(space.count, first.count - offset)
    first.withUnsafeBytes { space.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])) }
    offset += count
    outgoingBytes -= count
    if offset == first.count {
      outgoing.removeFirst()
      offset = 0
    }
    if outgoingBytes <= Self.lowWater { wake() }
    return count
  }

  override func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    progress = .now
    guard incomingBytes < Self.highWater else {
      isReceivingPaused = true
      return Int(CURL_WRITEFUNC_PAUSE)
    }
    // curl hands over at most 16 KiB at a time: joined, they cost the reader fewer steps.
    if let count = incoming.last?.count, count + bytes.count <= Self.joined {
      incoming[incoming.count - 1].append(contentsOf: bytes)
    } else {
      var chunk: [UInt8] = []
      chunk.reserveCapacity(incoming.isEmpty ? bytes.count : Self.joined)
      chunk.append(contentsOf: bytes)
      incoming.append(chunk)
    }
    incomingBytes += bytes.count
    wake()
    return bytes.count
  }

  override func headArrived() {
    progress = .now
    head = (status, headers)
    wake()
  }

  override func ended(_ code: CURLcode) {
    if result == nil { result = code == CURLE_OK ? .success(()) : .failure(failure(code)) }
    wake()
  }

  override func cancel() { fail(failure(.cancelled, "cancelled")) }

  func fail(_ error: HTTPClientError) {
    if result == nil { result = .failure(error) }
    wake()
  }

  override func isAlive(at now: ContinuousClock.Instant) -> Bool {
    // Not the server's turn: this side has nothing to send, or does not take what came.
    if isReceivingPaused || isSendingPaused && head == nil { progress = now }
    return now - progress <= request.timeout
  }

  // MARK: Called by the stream

  /// Suspends until something has changed since the caller looked, or the task is cancelled. The loop may run between
  /// that look and this call.
  ///
  /// - Parameter seen: `changes` at the time of the look.
  func wait(since seen: Int) async {
    await withCheckedContinuation { continuation in
      guard changes == seen else { return continuation.resume() }
      precondition(waiter == nil, "a stream belongs to one task")
      waiter = continuation
    }
  }

  func wake() {
    changes += 1
    waiter?.resume()
    waiter = nil
  }

  /// False while the queue of the request's body is full.
  var hasRoom: Bool { outgoingBytes < Self.highWater || result != nil || head != nil }

  func write(_ bytes: [UInt8]) {
    guard result == nil, head == nil, !bytes.isEmpty else { return }
    outgoing.append(bytes)
    outgoingBytes += bytes.count
    unpause(sending: true)
  }

  func endBody() {
    isBodyWritten = true
    unpause(sending: true)
  }

  func takeChunk() -> [UInt8]? {
    guard !incoming.isEmpty else { return nil }
    let chunk = incoming.removeFirst()
    incomingBytes -= chunk.count
    if incomingBytes <= Self.lowWater { unpause(sending: false) }
    return chunk
  }

  private func unpause(sending: Bool) {
    guard result == nil, sending ? isSendingPaused : isReceivingPaused else { return }
    if sending { isSendingPaused = false } else { isReceivingPaused = false }
    progress = .now
    var mask = CURLPAUSE_CONT
    if isSendingPaused { mask |= CURLPAUSE_SEND }
    if isReceivingPaused { mask |= CURLPAUSE_RECV }
    // curl may call `receive` from here.
    curl_easy_pause(easy, mask)
  }
}
