import Events
import HTTPServer
import JSON
import Projections
import Reactor

/// Tokens of changes that an answer must show: one or several `Annals-Token`, joined by commas.
struct AtLeast: InputValue {
  let tokens: [ReadToken]

  static let schema = JSONSchema.string(maxLength: 4_000)

  static let header = Input<AtLeast?>(
    header: "Annals-At-Least",
    "Values of Annals-Token from answers to changes, joined by commas: the answer is not older than those changes.")
  /// The older name of the header.
  static let olderHeader = Input<AtLeast?>(header: ReadToken.header, "The same as Annals-At-Least.")
    .deprecated(Deprecation(since: "2026-11-27", instead: "Annals-At-Least"))
  static let query = Input<AtLeast?>(query: "at_least", "The same as the header Annals-At-Least.")

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    var tokens: [ReadToken] = []
    for part in text.split(separator: ",") {
      tokens.append(
        try ReadToken(json: .string(String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()))))
    }
    guard (1...20).contains(tokens.count) else {
      throw JSONError(.invalid(String(text.prefix(80)), remedy: "from 1 to 20 tokens, joined by commas"))
    }
    self.tokens = tokens
  }
}

extension AtLeast {
  /// True if a state at this version of the stream would be too old.
  func isNewer(than version: StreamVersion, of stream: StreamID) -> Bool {
    tokens.contains { $0.isNewer(than: version, of: stream) }
  }
}

/// Lets readers of a view wait for what they have written.
struct ViewReaders: Sendable {
  let view: any AwaitableView
  let reactor: Reactor

  /// How long a request waits at most.
  static let limit = Duration.seconds(5)

  /// Waits until the view shows all changes of its categories.
  ///
  /// - Throws: A problem with status 504 that says how far the view is.
  func wait(for header: AtLeast?, _ query: AtLeast?, _ request: Request) async throws {
    let deadline = ContinuousClock.now + Self.limit
    for token in (header?.tokens ?? []) + (query?.tokens ?? []) where view.categories.contains(token.stream.category) {
      // How far a view is with a document tells of that document.
      guard try await request.access?.mayView(token.stream, request.caller) ?? true else { continue }
      var backoff = Backoff(first: .milliseconds(20), limit: .milliseconds(250))
      while true {
        let visible = try await view.visibleVersion(of: token.stream, atLeast: token.version)
        if let visible, visible >= token.version { break }
        guard .now < deadline else {
          throw Problem(
            504, "Not there yet",
            detail: "\(view.name) shows \(visible.map { "version \($0)" } ?? "nothing") of \(token.stream) after "
              + "\(Self.limit.components.seconds) s, not yet version \(token.version): try again",
            field: "Annals-At-Least", headers: [("Retry-After", "1")])
        }
        LoadShedding.slot?.leave()
        try await reactor.sleep(for: backoff.next())
      }
    }
  }
}
