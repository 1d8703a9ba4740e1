import Crypto
public import Domain
public import EventStore
import Events
import HTTPServer
import Identifiers
public import JSON
import Time

/// Inputs of the routes of documents.
enum DocumentInputs {
  static let id = Input<UUID>(path: "id", "The document's id.")
  static let ifMatch = Input<EntityTag?>(
    header: "If-Match", "The version that the caller has seen, as its ETag. Another version is answered with 412.")
  static let asOf = Input<Moment?>(
    query: "as_of", "The document as it was at a version, or at a time: `3`, `2026-11-21T13:20:38Z`.")

  /// The title of a new document.
  static let title = Input<String?>(
    optional: "title", schema: titleSchema, "The title. Only a form with a named file may leave it out.")
  static let newTitle = Input<String?>(optional: "title", schema: titleSchema, "The new title.")
  static let newStatus = Input<DocumentStatus?>(optional: "status", "The new status.")
  static let newTags = Input<TagList?>(
    optional: "tags", "All tags that it has from now on; an empty list takes them away.")
  static let type = Input<TypeName?>(optional: "type", "Its type: one of `/document-types`.")
  static let fields = Input<FieldValues?>(
    optional: "fields", "Values of the type's fields; null takes one away. Those that are not named stay.")
  /// A file in a form is stored while it arrives.
  static func content(in contents: ContentStore) -> Input<UploadedContent?> {
    Input(
      optional: "content", aliases: ["file"],
      "The content: text in JSON, any bytes in a form. A file's name is the title if there is none."
    ) { part, form, body in
      let id = UUID.version7()
      let stored = try await contents.store(
        of: id, type: try UploadedContent.type(of: part), length: nil, body: body
      ) { try await form.nextBytes() }
      return UploadedContent(source: .stored(id, stored, at: .now), filename: part.filename)
    }
  }
  static let contentType = Input<MediaTypeName?>(
    optional: "content_type", "The media type of the content. It is found out if it is missing.")
  static let createdBy = Input<ActorName?>(
    optional: "created_by", "Who creates the document. Without X-Actor, the actor of the event too.")

  private static let titleSchema = JSONSchema.string(minLength: 1, maxLength: Document.maximumTitle)
}

/// Tags, as they were sent.
struct TagList: InputValue {
  let tags: [String]

  static let schema = JSONSchema.array(.string(minLength: 1, maxLength: Tags.maximumLength))

  init(json: JSONValue) throws(JSONError) {
    guard let values = json.array else { throw JSONError(.wrongType(expected: "array", found: json.kind)) }
    var tags: [String] = []
    for value in values { tags.append(try String(json: value)) }
    self.tags = tags
  }
}

extension DocumentStatus: InputValue {
  public static var schema: JSONSchema { .string(values: allCases.map(\.rawValue)) }
}

extension Moment: InputValue {
  public static var schema: JSONSchema { .string() }

  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    if let version = Int64(text), version > 0 {
      self = .version(StreamVersion(version))
    } else if let time = Timestamp(text) {
      self = .time(time)
    } else {
      throw JSONError(
        .invalid(String(text.prefix(80)), remedy: "use a version such as 3, or a time such as 2026-11-21T13:20:38Z"))
    }
  }
}

/// Content as it was sent: a text in JSON, or a part of a form.
struct UploadedContent: InputValue {
  enum Source {
    case text([UInt8])
    /// Stored for a document of this id.
    case stored(UUID, DocumentContent, at: ContinuousClock.Instant)
  }
  let source: Source
  /// The name of a form's part; nil if it has none.
  let filename: String?

  /// SHA-256 of the bytes, in hexadecimal digits.
  var hash: String {
    switch source {
    case .text(let bytes): SHA256.hash(bytes).hexadecimal
    case .stored(_, let content, _): content.hash
    }
  }

  static let schema = JSONSchema.string()

  init(source: Source, filename: String?) { (self.source, self.filename) = (source, filename) }

  init(json: JSONValue) throws(JSONError) {
    self.init(source: .text(Array(try String(json: json).utf8)), filename: nil)
  }

  /// The type that a part names; nil if it has to be found out.
  static func type(of part: MultipartReader.PartHead) throws -> String? {
    // Clients name application/octet-stream if they know no type.
    guard let given = part.contentType, given != "application/octet-stream" else { return nil }
    do { return try MediaTypeName(json: .string(given)).text } catch {
      throw Problem(422, "Invalid form", detail: "\(part.name.prefix(80)): \(error.explanation)", field: "Content-Type")
    }
  }
}

/// A media type such as `text/plain; charset=utf-8`, of at most 255 printable ASCII characters.
struct MediaTypeName: InputValue {
  let text: String

  static let schema = JSONSchema.string(maxLength: 255)

  var isForm: Bool { text.lowercased().hasPrefix("multipart/form-data") }

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    let parts = text.prefix { $0 != ";" }.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), text.utf8.count <= 255,
      text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F })
    else { throw JSONError(.invalid(String(text.prefix(80)), remedy: "a media type looks like text/plain")) }
    self.text = text
  }
}
