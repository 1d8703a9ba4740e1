import Events
import JSON

/// The version in `If-Match: "3"`; nil for `*`. A gateway that compresses answers makes `W/"3"` of it: the version is as exact.
struct EntityTag: InputValue {
  let version: StreamVersion?

  static let schema = JSONSchema.string(pattern: #"^(\*|(W/)?"[1-9][0-9]*")$"#)

  init(json: JSONValue) throws(JSONError) {
    let sent = try String(json: json)
    let text = sent.hasPrefix("W/") ? String(sent.dropFirst(2)) : sent
    if sent == "*" {
      version = nil
    } else if text.utf8.count > 2, text.hasPrefix("\""), text.hasSuffix("\""),
      let number = Int64(text.dropFirst().dropLast()), number > 0
    {
      version = StreamVersion(number)
    } else {
      throw JSONError(.invalid(String(sent.prefix(80)), remedy: "an ETag looks like \"3\", quotes included"))
    }
  }
}
