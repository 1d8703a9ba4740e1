import Crypto
import HTTPServer
import JSON

/// A place in a list, as clients carry it: the sort values as JSON in hexadecimal.
struct Cursor: InputValue {
  let sort: JSONValue

  static let schema = JSONSchema.string(maxLength: 1_024)

  init(sort: JSONValue) { self.sort = sort }

  var text: String { sort.bytes.hexadecimal }

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    let problem = JSONError(
      .invalid(String(text.prefix(80)), remedy: "use next_cursor of an earlier answer, unchanged"))
    guard text.utf8.count <= 1_024, let bytes = [UInt8](hexadecimal: text) else { throw problem }
    guard let value = try? JSONValue(parsing: bytes), let parts = value.array, parts.count == 2,
      parts[0].integer != nil, parts[1].string != nil
    else { throw problem }
    sort = value
  }
}

extension Response {
  /// A page of entries, and the cursor of the next one; null on the last page.
  static func page(_ name: StaticString, _ entries: [JSONValue], next: JSONValue?) -> Response {
    var writer = JSONWriter(reserving: 8_192)
    writer.object { writer in
      writer.array("\(name)", of: entries) { $0.value($1) }
      writer.member("next_cursor", orNull: next.map { Cursor(sort: $0).text })
    }
    return .json(writer.bytes)
  }
}
