public import Identifiers
public import JSON
public import Time

extension UUID: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let value = UUID(text) else {
      throw JSONError(.invalid(text, remedy: "a UUID looks like 01890a5d-ac96-774b-bcce-b302099a8057"))
    }
    self = value
  }
}

extension Time.Timestamp: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let value = Time.Timestamp(text) else {
      throw JSONError(.invalid(text, remedy: "a time looks like 2026-11-21T13:20:38.123456Z"))
    }
    self = value
  }
}
