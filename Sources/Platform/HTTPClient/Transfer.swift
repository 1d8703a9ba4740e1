import CCurl

/// One request in progress: the easy handle and the part of the response received so far.
final class Transfer {
  let easy: UnsafeMutableRawPointer
  let number: Int
  private let request: HTTPRequest
  private var list: UnsafeMutablePointer<curl_slist>?
  private var body: [UInt8] = []
  private var headers: [(name: String, value: String)] = []
  private var isTooLarge = false
  private var continuation: CheckedContinuation<Result<HTTPResponse, HTTPClientError>, Never>?

  init(
    _ request: HTTPRequest, number: Int, easy: UnsafeMutableRawPointer, connectTimeout: Duration,
    _ continuation: CheckedContinuation<Result<HTTPResponse, HTTPClientError>, Never>
  ) {
    (self.request, self.number, self.easy, self.continuation) = (request, number, easy, continuation)
    annals_curl_set_string(easy, CURLOPT_URL, request.url)
    annals_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
    annals_curl_set_string(easy, CURLOPT_PROTOCOLS_STR, "http,https")
    annals_curl_set_string(easy, CURLOPT_ACCEPT_ENCODING, "")
    annals_curl_set_long(easy, CURLOPT_TIMEOUT_MS, Self.milliseconds(request.timeout))
    annals_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, Self.milliseconds(connectTimeout))
    annals_curl_set_long(easy, CURLOPT_TCP_KEEPALIVE, 1)
    setMethod()
    for (name, value) in request.headers + [("Expect", "")] {
      // curl omits a header without a value (“Name:”): wanted for Expect. An empty header would be “Name;”.
      list = curl_slist_append(list, "\(name): \(value)")
    }
    annals_curl_set_pointer(easy, CURLOPT_HTTPHEADER, list)
    setReceivers()
  }

  private func setMethod() {
    switch request.method {
    case .get: annals_curl_set_long(easy, CURLOPT_HTTPGET, 1)
    case .head: annals_curl_set_long(easy, CURLOPT_NOBODY, 1)
    default: annals_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    }
    guard let body = request.body else { return }
    annals_curl_set_size(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
    if body.isEmpty {
      annals_curl_set_string(easy, CURLOPT_COPYPOSTFIELDS, "")
    } else {
      body.withUnsafeBytes {
        _ = annals_curl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: $0.baseAddress))
      }
    }
    // A body makes curl choose POST.
    annals_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
  }

  private func setReceivers() {
    let me = Unmanaged.passUnretained(self).toOpaque()
    annals_curl_set_pointer(easy, CURLOPT_WRITEDATA, me)
    annals_curl_set_data(easy, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
      Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue().receive(bytes, size * count)
    }
    annals_curl_set_pointer(easy, CURLOPT_HEADERDATA, me)
    annals_curl_set_data(easy, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
      Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue().receiveHeader(bytes, size * count)
    }
    annals_curl_set_pointer(easy, CURLOPT_PRIVATE, me)
  }

  private func receive(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    guard body.count + count <= request.maximumResponse else {
      isTooLarge = true
      return 0
    }
    body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
    return count
  }

  private func receiveHeader(_ bytes: UnsafeMutablePointer<CChar>?, _ count: Int) -> Int {
    let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
    if line.hasPrefix("HTTP/") {
      headers = []  // an earlier response was an interim one
    } else if let colon = line.firstIndex(of: ":") {
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      headers.append((line[..<colon].lowercased(), String(value.prefix { !$0.isNewline })))
    }
    return count
  }

  /// Resumes the caller. curl no longer uses the handle.
  func finish(_ code: CURLcode) {
    curl_slist_free_all(list)
    list = nil
    guard let continuation else { return }
    self.continuation = nil
    guard code == CURLE_OK else {
      let reason = isTooLarge ? "more than \(request.maximumResponse) bytes" : String(cString: curl_easy_strerror(code))
      return continuation.resume(returning: .failure(failure(isTooLarge ? .tooLarge : Self.kind(of: code), reason)))
    }
    var status = 0
    annals_curl_get_long(easy, CURLINFO_RESPONSE_CODE, &status)
    continuation.resume(returning: .success(HTTPResponse(status: status, headers: headers, body: body)))
  }

  func cancel() {
    continuation?.resume(returning: .failure(failure(.cancelled, "cancelled")))
    continuation = nil
  }

  private func failure(_ kind: HTTPClientError.Kind, _ reason: String) -> HTTPClientError {
    HTTPClientError(
      kind: kind, method: request.method.rawValue, url: String(request.url.prefix { $0 != "?" }), reason: reason)
  }

  private static func kind(of code: CURLcode) -> HTTPClientError.Kind {
    switch code {
    case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_SSL_CONNECT_ERROR,
      CURLE_PEER_FAILED_VERIFICATION:
      .connecting
    case CURLE_OPERATION_TIMEDOUT: .timedOut
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .invalid
    default: .broken
    }
  }

  private static func milliseconds(_ duration: Duration) -> Int {
    let (seconds, attoseconds) = duration.components
    return max(1, Int(seconds) * 1_000 + Int(attoseconds / 1_000_000_000_000_000))
  }
}
