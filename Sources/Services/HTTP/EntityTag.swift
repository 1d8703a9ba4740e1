import Events
import JSON

/// The version in `If-Match: "3"`; nil for `*`.
struct EntityTag: InputValue {
  let version: StreamVersion?

  static let schema = JSONSchema.string(pattern: #"^(\*|"[1-9][0-9]*")$"#)

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    if text == "*" {
      version = nil
    } else if text.utf8.count > 2, text.hasPrefix("\""), text.hasSuffix("\""),
      let number = Int64(text.dropFirst().dropLast()), number > 0
    {
      version = StreamVersion(number)
    } else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "an ETag looks like \"3\", quotes included"))
    }
  }
}
