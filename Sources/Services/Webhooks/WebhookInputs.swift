import Domain
import Events
import HTTPClient
import HTTPServer
import Identifiers
import JSON

/// A URL that messages are sent to.
struct WebhookURL: InputValue {
  let text: String
  let address: WebAddress

  static let schema = JSONSchema.string(format: "uri", minLength: 1, maxLength: WebhookList.maximumURL)

  init(json: JSONValue) throws(JSONError) {
    text = try String(json: json)
    let address = WebAddress(text)
    guard text.utf8.count <= WebhookList.maximumURL, let address, ["http", "https"].contains(address.scheme),
      !address.hasUser, !address.hasFragment, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else {
      throw JSONError(
        .invalid(
          String(text.prefix(80)),
          remedy:
            "a URL of at most \(WebhookList.maximumURL) ASCII characters is expected, without user and fragment: https://example.com/hook"
        ))
    }
    self.address = address
  }

  /// - Throws: A problem if messages would go to where they must not. Names are asked for their addresses at each connection.
  func check(allowsPrivate: Bool) throws(Problem) {
    guard !allowsPrivate else { return }
    guard address.scheme == "https" else {
      throw Problem(422, "Invalid value", detail: "a webhook's URL begins with https://", field: "/url")
    }
    if let number = NetworkAddress(address.host), !number.isPublic {
      throw Problem(
        422, "Invalid value", detail: "\(number) is not an address of the public internet: name one that is",
        field: "/url")
    }
  }
}

/// Of which events a webhook is told.
struct WebhookChoice: InputValue {
  let selection: WebhookSelection

  static let schema = JSONSchema.object([
    .init(
      "events", .nullable(.array(.string(values: Happening.allTypes))), isRequired: false,
      "Names of events; none: all of them."),
    .init("documents", .nullable(.array(.string(format: "uuid"))), isRequired: false, "Only of these documents."),
    .init(
      "type", .nullable(TypeName.schema), isRequired: false, "Only of documents that have this type at that moment."),
    .init("tag", .nullable(.string()), isRequired: false, "Only of documents that have this tag at that moment."),
  ])

  init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    func list<Value>(
      _ name: String, _ read: (String) throws(JSONError) -> Value
    ) throws(JSONError) -> [Value] {
      guard let value = try fields.optional(name, as: JSONValue.self) else { return [] }
      guard let array = value.array else {
        throw JSONError(.wrongType(expected: "array", found: value.kind), path: [.name(name)])
      }
      guard array.count <= WebhookSelection.maximum else {
        throw JSONError(
          .invalid("\(array.count)", remedy: "at most \(WebhookSelection.maximum) are named; none means all"),
          path: [.name(name)])
      }
      var values: [Value] = []
      for (place, element) in array.enumerated() {
        guard let text = element.string else {
          throw JSONError(.wrongType(expected: "string", found: element.kind), path: [.name(name), .index(place)])
        }
        do { values.append(try read(text)) } catch {
          throw JSONError(error.reason, path: [.name(name), .index(place)])
        }
      }
      return values
    }
    let events = try list("events") { text throws(JSONError) in
      guard Happening.allTypes.contains(text) else {
        throw JSONError(
          .invalid(String(text.prefix(80)), remedy: "there is no such event; names are as in document.created"))
      }
      return text
    }
    let documents = try list("documents") { text throws(JSONError) in try UUID(json: .string(text)) }
    let type = try fields.optional("type", as: TypeName.self)?.text
    selection = WebhookSelection(events: events, documents: documents, type: type, tag: try fields.optional("tag"))
    try fields.end()
  }
}
