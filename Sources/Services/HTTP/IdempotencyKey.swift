import Crypto
import EventStore
import HTTPServer
import JSON

/// `Idempotency-Key`: a request that is sent again is carried out once, and gets the first answer again (IETF draft “The
/// Idempotency-Key HTTP Header Field”). A structured string, in quotes, and a plain word are read alike.
struct IdempotencyKey: InputValue {
  let text: String

  static let schema = JSONSchema.string(minLength: 1, maxLength: 255)

  static let input = Input<IdempotencyKey?>(
    header: "Idempotency-Key",
    "A key of the caller's choice. Within a day, the same request with the same key is carried out once and answered alike; another request with it is refused with 422, one that is still running with 409."
  )

  init(json: JSONValue) throws(JSONError) {
    var text = try String(json: json)
    if text.utf8.count > 2, text.hasPrefix("\""), text.hasSuffix("\"") { text = String(text.dropFirst().dropLast()) }
    guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "1 to 255 printable ASCII characters without blanks"))
    }
    self.text = text
  }
}

/// A request under a key, as the log knows it. Callers with different names do not share keys.
struct KeyedRequest: Sendable {
  let key: String
  /// SHA-256 of what is asked.
  let request: [UInt8]

  /// - Parameter parts: What is asked, each part nil if the request does not have it.
  init?(_ key: IdempotencyKey?, _ request: Request, actor: String, _ parts: [String?]) {
    guard let key else { return nil }
    self.key = "\(actor)\n\(key.text)"
    var writer = JSONWriter()
    writer.array {
      let asked: [String?] = ["\(request.method)"] + request.path + parts
      for part in asked {
        $0.element()
        if let part { $0.string(part) } else { $0.null() }
      }
    }
    self.request = SHA256.hash(writer.bytes)
  }
}

/// The part of an answer that is kept for a repeated request.
struct KeptAnswer {
  private let status: Int
  private let headers: [(name: String, value: String)]
  private let body: [UInt8]

  /// - Parameter body: A JSON text.
  init(_ status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
    (self.status, self.headers, self.body) = (status, headers, body)
  }

  /// A JSON text.
  var bytes: [UInt8] {
    var writer = JSONWriter(reserving: body.count + 128)
    writer.object { writer in
      writer.member("status", status)
      writer.name("headers")
      writer.object { for header in headers { $0.member(header.name, header.value) } }
      writer.member("body", String(decoding: body, as: UTF8.self))
    }
    return writer.bytes
  }

  var response: Response { .json(body, status: status, headers: headers) }

  /// The first answer, again.
  static func replayed(_ bytes: [UInt8]) throws -> Response {
    var fields = try JSONFields(JSONValue(parsing: bytes))
    let headers = try fields.required("headers", as: JSONValue.self).object?.members ?? []
    return .json(
      Array(try fields.required("body", as: String.self).utf8),
      status: Int(try fields.required("status", as: Int64.self)),
      headers: headers.map { ($0.name, $0.value.string ?? "") } + [("Idempotent-Replayed", "true")])
  }
}

extension EventStore {
  /// Carries out a request under a key, or answers it as it was answered first.
  func once(_ keyed: KeyedRequest?, _ body: () async throws -> Response) async throws -> Response {
    guard let keyed else { return try await body() }
    if let answer = try await answer(to: keyed.key, request: keyed.request) { return try KeptAnswer.replayed(answer) }
    do { return try await body() } catch let error as CommandReplayed {
      return try KeptAnswer.replayed(error.answer)
    } catch {
      // The same request may have been carried out since the look, and is the reason why this one was refused.
      if let answer = try await answer(to: keyed.key, request: keyed.request) { return try KeptAnswer.replayed(answer) }
      throw error
    }
  }
}
