/// A topic's name with the aggregate's type in it: `cdc.{aggregate}s` gives `cdc.documents`.
public struct TopicTemplate: Equatable, Sendable {
  public let text: String

  public static let placeholder = "{aggregate}"

  /// nil if the result would not be a valid topic name, or if the placeholder is missing.
  public init?(_ text: String) {
    guard text.contains(Self.placeholder) else { return nil }
    self.text = text
    guard Self.isName(topic(for: "a")) else { return nil }
  }

  public func topic(for aggregate: String) -> String {
    text.replacing(Self.placeholder, with: aggregate)
  }

  /// Kafka's rule: 1 to 249 of these characters, but not `.` or `..`.
  static func isName(_ text: String) -> Bool {
    (1...249).contains(text.utf8.count) && text != "." && text != ".."
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
      }
  }
}
