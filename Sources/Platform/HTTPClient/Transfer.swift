import CCurl
import Glibc

/// One request in progress: the easy handle and its response's headers. Subclasses take the bodies.
class Transfer {
  let easy: UnsafeMutableRawPointer
  let number: Int
  let request: HTTPRequest
  private(set) var headers: [(name: String, value: String)] = []
  private var list: UnsafeMutablePointer<curl_slist>?
  private var peers = Peers.own
  /// There was an address to which it must not connect.
  private var isRefused = false
  private var headerBytes = 0
  /// How much headers and trailers may have together, in bytes.
  private static let maximumHeaders = 64 << 10

  init(_ request: HTTPRequest, number: Int, easy: UnsafeMutableRawPointer, connectTimeout: Duration) {
    (self.request, self.number, self.easy) = (request, number, easy)
    annals_curl_set_string(easy, CURLOPT_URL, request.url)
    annals_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
    // A name lookup that takes long must not be waited for on the loop when its transfer ends.
    annals_curl_set_long(easy, CURLOPT_QUICK_EXIT, 1)
    annals_curl_set_string(easy, CURLOPT_PROTOCOLS_STR, "http,https")
    annals_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, Self.milliseconds(connectTimeout))
    annals_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
    for (name, value) in request.headers + [("Expect", "")] {
      // curl omits a header without a value (“Name:”): wanted for Expect. An empty header would be “Name;”.
      list = curl_slist_append(list, "\(name): \(value)")
    }
    annals_curl_set_pointer(easy, CURLOPT_HTTPHEADER, list)
    switch request.method {
    case .get: annals_curl_set_long(easy, CURLOPT_HTTPGET, 1)
    case .head: annals_curl_set_long(easy, CURLOPT_NOBODY, 1)
    default: annals_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    }
    setReceivers()
  }

  private func setReceivers() {
    let me = Unmanaged.passUnretained(self).toOpaque()
    annals_curl_set_pointer(easy, CURLOPT_WRITEDATA, me)
    annals_curl_set_data(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
      Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
        .receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
    }
    annals_curl_set_pointer(easy, CURLOPT_HEADERDATA, me)
    annals_curl_set_data(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
      Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue()
        .receiveHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
    }
    annals_curl_set_pointer(easy, CURLOPT_PRIVATE, me)
  }

  /// Before it begins.
  ///
  /// - Parameter authorities: A file of certificates that are trusted beside the system's.
  final func connects(to peers: Peers, trusting authorities: String?) {
    // The system's are still found, by their folder.
    if let authorities { annals_curl_set_string(easy, CURLOPT_CAINFO, authorities) }
    guard case .strangers(let publicOnly) = peers else { return }
    self.peers = peers
    annals_curl_set_string(easy, CURLOPT_PROXY, "")
    // This one turns Transfer-Encoding off too.
    annals_curl_set_long(easy, CURLOPT_HTTP_CONTENT_DECODING, 0)
    annals_curl_set_string(easy, CURLOPT_ACCEPT_ENCODING, nil)
    guard publicOnly else { return }
    annals_curl_set_string(easy, CURLOPT_PROTOCOLS_STR, "https")
    let opener: annals_curl_opener = { context, _, address in
      Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue().open(address!)
    }
    annals_curl_on_open(easy, opener, Unmanaged.passUnretained(self).toOpaque())
  }

  private func open(_ target: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
    let isAllowed = withUnsafePointer(to: &target.pointee.addr) { address in
      guard !peers.allows(address) else { return true }
      isRefused = true
      return false
    }
    guard isAllowed else { return curl_socket_t(CURL_SOCKET_BAD) }
    return socket(
      target.pointee.family, target.pointee.socktype | Int32(SOCK_CLOEXEC.rawValue), target.pointee.protocol)
  }

  /// Takes a piece of the response's body and returns how much it took, or what curl knows as an order.
  func receive(_ bytes: UnsafeRawBufferPointer) -> Int { bytes.count }

  /// The response's head is complete.
  func headArrived() {}

  private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
    headerBytes += bytes.count
    guard headerBytes <= Self.maximumHeaders else { return 0 }
    let line = String(decoding: bytes, as: UTF8.self)
    if line.hasPrefix("HTTP/") {
      headers = []  // an earlier response was an interim one
    } else if let colon = line.firstIndex(of: ":") {
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      headers.append((line[..<colon].lowercased(), String(value.prefix { !$0.isNewline })))
    } else if line.allSatisfy(\.isNewline), status >= 200 {
      headArrived()
    }
    return bytes.count
  }

  var status: Int {
    var status = 0
    annals_curl_get_long(easy, CURLINFO_RESPONSE_CODE, &status)
    return status
  }

  /// curl no longer uses the handle.
  final func finish(_ code: CURLcode) {
    curl_slist_free_all(list)
    list = nil
    ended(code)
  }

  func ended(_ code: CURLcode) {}

  /// The caller no longer waits.
  func cancel() {}

  /// False if the server has kept this transfer waiting for too long.
  func isAlive(at now: ContinuousClock.Instant) -> Bool { true }

  final func failure(_ kind: HTTPClientError.Kind, _ reason: String) -> HTTPClientError {
    HTTPClientError(
      kind: kind, method: request.method.rawValue, url: Self.harmless(request.url), reason: reason)
  }

  /// The URL without its query and without a user and password.
  private static func harmless(_ url: String) -> String {
    let url = url.prefix { $0 != "?" }
    guard let start = url.firstRange(of: "://")?.upperBound else { return String(url) }
    let authority = url[start...].prefix { $0 != "/" }
    guard let at = authority.lastIndex(of: "@") else { return String(url) }
    return String(url[..<start] + url[url.index(after: at)...])
  }

  final func failure(_ code: CURLcode) -> HTTPClientError {
    if case .strangers(publicOnly: true) = peers, isRefused || code == CURLE_COULDNT_RESOLVE_HOST {
      // Which of both it is tells what names there are in a private network.
      return failure(.refused, "its name leads to no address of the public internet")
    }
    if headerBytes > Self.maximumHeaders {
      return failure(.tooLarge, "more than \(Self.maximumHeaders) bytes of headers")
    }
    let kind: HTTPClientError.Kind =
      switch code {
      case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_SSL_CONNECT_ERROR,
        CURLE_PEER_FAILED_VERIFICATION:
        .connecting
      case CURLE_OPERATION_TIMEDOUT: .timedOut
      case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .invalid
      default: .broken
      }
    return failure(kind, String(cString: curl_easy_strerror(code)))
  }

  static func milliseconds(_ duration: Duration) -> Int {
    let (seconds, attoseconds) = duration.components
    return max(1, Int(seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000))
  }
}
