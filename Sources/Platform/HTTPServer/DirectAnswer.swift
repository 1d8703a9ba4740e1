import CMicrohttpd
import Glibc
import Time

/// An answer that is written to the socket past libmicrohttpd, which takes none while a body arrives. The connection
/// ends with it.
///
/// The sending side is closed after the answer and the receiving side is read on for a while: a close with unread bytes
/// would reset the connection, and the client would lose the answer (RFC 9112, section 9.6).
struct DirectAnswer {
  let bytes: [UInt8]

  /// nil if the response is streamed.
  init?(_ response: Response, isHead: Bool) {
    guard case .bytes(let body) = response.body else { return nil }
    let reason = String(cString: MHD_get_reason_phrase_for(UInt32(response.status)))
    var text =
      "HTTP/1.1 \(response.status) \(reason)\r\nDate: \(Timestamp.now().httpDate)\r\nConnection: close\r\n"
    for (name, value) in response.headers { text += "\(name): \(value)\r\n" }
    text += "Content-Length: \(body.count)\r\n\r\n"
    bytes = Array(text.utf8) + (isHead ? [] : body)
  }

  /// Writes the answer and closes the sending side. An answer that does not fit into the socket's buffer is lost.
  func write(to descriptor: Int32) {
    _ = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)) }
    shutdown(descriptor, Int32(SHUT_WR))
  }
}
