import Events
import HTTPServer
import JSON

/// `Annals-Token`: an answer to a change carries it; a request that sends it back reads a state that is not older. Opaque to
/// callers: the stream and its version.
struct ReadToken: InputValue {
  let stream: StreamID
  let version: StreamVersion

  static let header = "Annals-Token"
  static let schema = JSONSchema.string(maxLength: 400)

  init(_ stream: StreamID, _ version: StreamVersion) { (self.stream, self.version) = (stream, version) }

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    let colon = text.utf8.lastIndex(of: UInt8(ascii: ":"))
    guard let colon, let stream = StreamID(String(text[..<colon])),
      let version = Int64(text[text.utf8.index(after: colon)...])
    else { throw JSONError(.invalid(String(text.prefix(80)), remedy: "use the token as an answer gave it")) }
    self.init(stream, StreamVersion(version))
  }

  var field: (name: String, value: String) { (Self.header, "\(stream):\(version)") }

  /// The header of an answer to changes of several streams.
  static func field(of tokens: [ReadToken]) -> (name: String, value: String) {
    (header, tokens.map { "\($0.stream):\($0.version)" }.joined(separator: ","))
  }

  /// True if a state at this version of the stream would be too old.
  func isNewer(than version: StreamVersion, of stream: StreamID) -> Bool {
    self.stream == stream && self.version > version
  }
}
