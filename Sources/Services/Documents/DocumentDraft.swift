import HTTPServer
import JSON

/// A document to be created, from JSON (`title`, `content`, `content_type`) or a form (the same names; the part with
/// the content may be called `file`).
struct DocumentDraft {
  let title: String
  let content: [UInt8]?
  let type: String?

  init(_ request: Request, maximumContent: Int) throws(Problem) {
    if case .form(let parts) = request.body {
      try self.init(parts)
    } else {
      var fields = try request.jsonFields()
      do throws(JSONError) { try self.init(&fields) } catch { throw Problem(error) }
    }
    guard content != nil || type == nil else {
      throw Problem(422, "Invalid body", detail: "content_type without content", field: "/content_type")
    }
    if let type, !Self.isMediaType(type) {
      throw Problem(
        422, "Invalid body", detail: "“\(type)” is no media type; one looks like text/plain", field: "/content_type")
    }
    guard (content?.count ?? 0) <= maximumContent else {
      throw Problem(413, "Content too large", detail: "content has at most \(maximumContent) bytes", field: "/content")
    }
  }

  private init(_ fields: inout JSONFields) throws(JSONError) {
    title = try fields.required("title")
    let text = try fields.optional("content", as: String.self)
    content = text.map { Array($0.utf8) }
    type = try fields.optional("content_type") ?? (text == nil ? nil : "text/plain; charset=utf-8")
    try fields.end()
  }

  private init(_ parts: [FormPart]) throws(Problem) {
    var title: String?
    var content: [UInt8]?
    var type: String?
    for part in parts {
      switch part.name {
      case "title": title = String(decoding: part.bytes, as: UTF8.self)
      case "content_type": type = String(decoding: part.bytes, as: UTF8.self)
      case "content", "file":
        content = part.bytes
        type = type ?? part.contentType.flatMap { $0 == "application/octet-stream" ? nil : $0 }
        title = title ?? part.filename
      default:
        throw Problem(
          422, "Invalid form", detail: "there is no part “\(part.name)”; known are title, content, file, content_type",
          field: part.name)
      }
    }
    guard let title else { throw Problem(422, "Invalid form", detail: "the part title is missing", field: "title") }
    (self.title, self.content, self.type) = (title, content, type)
  }

  private static func isMediaType(_ text: String) -> Bool {
    let parts = text.prefix { $0 != ";" }.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty } && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
      && text.utf8.count <= 255
  }
}
