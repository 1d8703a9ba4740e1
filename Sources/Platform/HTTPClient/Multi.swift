import CCurl
import Reactor

/// libcurl's multi interface on a reactor's loop, which watches its descriptors and runs its timer.
final class Multi {
  private let reactor: Reactor
  private var multi: UnsafeMutableRawPointer?
  private var timer: LoopTimer?
  private var stalls: LoopTimer?
  private var looksForStalls = false
  private var watches: [Int32: Watch] = [:]
  private var transfers: [UnsafeMutableRawPointer: Transfer] = [:]
  private var spare: [UnsafeMutableRawPointer] = []
  private let peers: Peers
  private let authorities: String?
  private let maximumConnections: Int

  init(on reactor: Reactor, to peers: Peers, trusting authorities: String?, maximumConnections: Int) {
    self.authorities = authorities
    (self.reactor, self.peers, self.maximumConnections) = (reactor, peers, maximumConnections)
  }

  /// Creates the multi handle for the first request, because that one runs on the loop.
  private func open() -> UnsafeMutableRawPointer {
    if let multi { return multi }
    let new = curl_multi_init()!
    let me = Unmanaged.passUnretained(self).toOpaque()
    annals_curl_limit(new, CURLMOPT_MAX_HOST_CONNECTIONS, maximumConnections)
    timer = reactor.timer(label: "http client timer") { [weak self] in self?.act(CURL_SOCKET_TIMEOUT, []) }
    stalls = reactor.timer(label: "http client stalls") { [weak self] in self?.lookForStalls() }
    annals_curl_on_timer(
      new,
      { _, milliseconds, context in
        let multi = Unmanaged<Multi>.fromOpaque(context!).takeUnretainedValue()
        if milliseconds < 0 { multi.timer?.stop() } else { multi.timer?.start(after: .milliseconds(milliseconds)) }
        return 0
      }, me)
    annals_curl_on_socket(
      new,
      { _, descriptor, what, context, _ in
        Unmanaged<Multi>.fromOpaque(context!).takeUnretainedValue().watch(descriptor, what)
        return 0
      }, me)
    multi = new
    return new
  }

  private func watch(_ descriptor: Int32, _ what: Int32) {
    if what == CURL_POLL_REMOVE {
      watches.removeValue(forKey: descriptor)?.cancel()
      return
    }
    var interest: Readiness = []
    if what & CURL_POLL_IN != 0 { interest.insert(.readable) }
    if what & CURL_POLL_OUT != 0 { interest.insert(.writable) }
    if let watch = watches[descriptor] { return watch.update(interest) }
    watches[descriptor] = try? reactor.watch(descriptor, for: interest, label: "http client") { [weak self] ready in
      self?.act(descriptor, ready)
    }
  }

  private func act(_ descriptor: Int32, _ ready: Readiness) {
    guard let multi else { return }
    var events: Int32 = 0
    if ready.contains(.readable) { events |= CURL_CSELECT_IN }
    if ready.contains(.writable) { events |= CURL_CSELECT_OUT }
    var running: Int32 = 0
    curl_multi_socket_action(multi, descriptor, events, &running)
    takeFinished()
  }

  private func takeFinished() {
    var left: Int32 = 0
    while let multi, let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else { continue }
      let code = message.pointee.data.result
      if let transfer = remove(easy) { finish(transfer, code) }
    }
  }

  func add(
    _ request: HTTPRequest, number: Int, connectTimeout: Duration,
    _ continuation: CheckedContinuation<Result<HTTPResponse, HTTPClientError>, Never>
  ) {
    let multi = open()
    let easy = spare.popLast() ?? curl_easy_init()!
    transfers[easy] = CollectedTransfer(
      request, number: number, easy: easy, connectTimeout: connectTimeout, continuation)
    transfers[easy]?.connects(to: peers, trusting: authorities)
    curl_multi_add_handle(multi, easy)
  }

  func open(
    _ request: HTTPRequest, length: Int?, number: Int, connectTimeout: Duration
  ) -> StreamedTransfer {
    let multi = open()
    let easy = spare.popLast() ?? curl_easy_init()!
    let transfer = StreamedTransfer(
      request, length: length, number: number, easy: easy, connectTimeout: connectTimeout)
    transfers[easy] = transfer
    transfer.connects(to: peers, trusting: authorities)
    curl_multi_add_handle(multi, easy)
    // A timer that is started again would begin again: with many new streams it would never fire.
    if !looksForStalls { stalls?.start(after: .seconds(1), every: .seconds(1)) }
    looksForStalls = true
    return transfer
  }

  /// Fails streamed transfers whose server makes no progress.
  private func lookForStalls() {
    let now = ContinuousClock.now
    var isNeeded = false
    for (easy, transfer) in transfers {
      guard let streamed = transfer as? StreamedTransfer else { continue }
      isNeeded = true
      guard !streamed.isAlive(at: now) else { continue }
      streamed.fail(streamed.failure(.timedOut, "no progress for \(streamed.request.timeout)"))
      drop(easy)
    }
    guard !isNeeded else { return }
    stalls?.stop()
    looksForStalls = false
  }

  private func remove(_ easy: UnsafeMutableRawPointer) -> Transfer? {
    guard let transfer = transfers.removeValue(forKey: easy) else { return nil }
    curl_multi_remove_handle(multi, easy)
    return transfer
  }

  /// Completes a removed transfer and keeps its easy handle for reuse.
  private func finish(_ transfer: Transfer, _ code: CURLcode) {
    transfer.finish(code)
    curl_easy_reset(transfer.easy)
    if multi != nil, spare.count < maximumConnections {
      spare.append(transfer.easy)
    } else {
      curl_easy_cleanup(transfer.easy)
    }
  }

  func cancel(_ number: Int) {
    guard let easy = transfers.first(where: { $0.value.number == number })?.key else { return }
    drop(easy)
  }

  private func drop(_ easy: UnsafeMutableRawPointer) {
    guard let transfer = remove(easy) else { return }
    transfer.cancel()
    finish(transfer, CURLE_ABORTED_BY_CALLBACK)
  }

  func close() {
    for easy in transfers.keys { drop(easy) }
    for easy in spare { curl_easy_cleanup(easy) }
    spare = []
    if let multi { curl_multi_cleanup(multi) }
    multi = nil
    timer?.cancel()
    stalls?.cancel()
    (timer, stalls, looksForStalls) = (nil, nil, false)
    for watch in watches.values { watch.cancel() }
    watches = [:]
  }
}
