import CCurl

/// A transfer whose bodies are in memory, both of them whole.
final class CollectedTransfer: Transfer {
  private var body: [UInt8] = []
  private var isTooLarge = false
  private var continuation: CheckedContinuation<Result<HTTPResponse, HTTPClientError>, Never>?

  init(
    _ request: HTTPRequest, number: Int, easy: UnsafeMutableRawPointer, connectTimeout: Duration,
    _ continuation: CheckedContinuation<Result<HTTPResponse, HTTPClientError>, Never>
  ) {
    self.continuation = continuation
    super.init(request, number: number, easy: easy, connectTimeout: connectTimeout)
    annals_curl_set_string(easy, CURLOPT_ACCEPT_ENCODING, "")
    annals_curl_set_long(easy, CURLOPT_TIMEOUT_MS, Self.milliseconds(request.timeout))
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

  override func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard body.count + bytes.count <= request.maximumResponse else {
      isTooLarge = true
      return 0
    }
    body.append(contentsOf: bytes)
    return bytes.count
  }

  override func ended(_ code: CURLcode) {
    guard let continuation else { return }
    self.continuation = nil
    if isTooLarge {
      continuation.resume(returning: .failure(failure(.tooLarge, "more than \(request.maximumResponse) bytes")))
    } else if code != CURLE_OK {
      continuation.resume(returning: .failure(failure(code)))
    } else {
      continuation.resume(returning: .success(HTTPResponse(status: status, headers: headers, body: body)))
    }
  }

  override func cancel() {
    continuation?.resume(returning: .failure(failure(.cancelled, "cancelled")))
    continuation = nil
  }
}
