import JSON

/// The name of a person or program: 1 to 200 bytes, not all of them blank.
struct ActorName: InputValue {
  let text: String

  static let schema = JSONSchema.string(minLength: 1, maxLength: 200)

  init(json: JSONValue) throws(JSONError) {
    text = try String(json: json)
    guard Authenticator.isName(text) else {
      throw JSONError(
        .invalid(String(text.prefix(80)), remedy: "1 to 200 bytes are needed, and a character that is not blank"))
    }
  }
}
