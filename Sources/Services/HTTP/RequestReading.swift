import Domain
import EventStore
import HTTPServer
import Identifiers
import JSON
import Time

/// What handlers read from a request, each with its own error.
extension Request {
  /// The UUID at `:id`.
  func documentID() throws(Problem) -> UUID {
    let text = parameters["id"] ?? ""
    guard let id = UUID(text) else {
      throw Problem(
        400, "Malformed id", detail: "“\(text)” is no UUID; one looks like 01890a5d-ac96-774b-bcce-b302099a8057",
        field: "id")
    }
    return id
  }

  /// The members of the JSON body.
  func jsonFields() throws(Problem) -> JSONFields {
    if let type = headers["Content-Type"], !type.lowercased().hasPrefix("application/json") {
      throw Problem(
        415, "Unsupported media type", detail: "the body is “\(type)”; send application/json", field: "Content-Type")
    }
    guard case .bytes(let bytes) = body else {
      throw Problem(400, "Malformed body", detail: "a JSON object is expected, the body is empty")
    }
    do { return try JSONFields(JSONValue(parsing: bytes)) } catch { throw Problem(error) }
  }

  /// Who acts; authentication will tell one day.
  func actor() throws(Problem) -> String {
    guard let name = headers["X-Actor"] else { return "anonymous" }
    guard (1...200).contains(name.utf8.count), name.contains(where: { !$0.isWhitespace }) else {
      throw Problem(400, "Malformed actor", detail: "X-Actor has 1 to 200 bytes and is not blank", field: "X-Actor")
    }
    return name
  }

  func metadata() throws(Problem) -> EventMetadata {
    EventMetadata(
      actor: try actor(), correlationID: headers["X-Correlation-ID"].map { String($0.prefix(200)) },
      traceparent: headers["traceparent"].flatMap { $0.utf8.count == 55 ? $0 : nil })
  }

  /// The version in `If-Match: "3"`; nil where there is none, or `*`.
  func expectedVersion() throws(Problem) -> StreamVersion? {
    guard let text = headers["If-Match"], text != "*" else { return nil }
    guard text.count > 2, text.hasPrefix("\""), text.hasSuffix("\""),
      let version = Int64(text.dropFirst().dropLast()), version > 0
    else {
      throw Problem(
        400, "Malformed precondition", detail: "“\(text)” is no ETag of a document; one looks like \"3\"",
        field: "If-Match")
    }
    return StreamVersion(version)
  }

  /// A whole number in the query, within bounds.
  func query(_ name: String, default fallback: Int, in bounds: ClosedRange<Int>) throws(Problem) -> Int {
    guard let text = query(name) else { return fallback }
    guard let value = Int(text), bounds.contains(value) else {
      throw Problem(
        400, "Malformed query",
        detail: "\(name) is “\(text)”; a whole number from \(bounds.lowerBound) to \(bounds.upperBound) is expected",
        field: name)
    }
    return value
  }

  func status(_ name: String = "status") throws(Problem) -> DocumentStatus? {
    guard let text = query(name) else { return nil }
    do { return try DocumentStatus(json: .string(text)) } catch {
      throw Problem(400, "Malformed query", detail: error.explanation, field: name)
    }
  }

  /// Refuses parameters that nobody reads: a mistyped filter would silently filter nothing.
  func requireQuery(only known: String...) throws(Problem) {
    for (name, _) in query where !known.contains(name) {
      throw Problem(
        400, "Malformed query",
        detail: "there is no parameter “\(name)” here; known are \(known.joined(separator: ", "))", field: name)
    }
  }
}

extension Problem {
  init(_ error: JSONError) {
    let status =
      switch error.reason {
      case .missing, .unknown, .wrongType, .outOfRange, .invalid: 422
      default: 400
      }
    self.init(
      status, status == 422 ? "Invalid body" : "Malformed JSON", detail: error.description,
      field: error.pointer.isEmpty ? nil : error.pointer)
  }
}
