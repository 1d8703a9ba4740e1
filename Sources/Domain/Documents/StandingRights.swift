public import JSON
public import Time

/// The rights by which something is done in somebody's name while he is away, as his token had them.
public struct StandingRights: Equatable, Sendable {
  /// They are for every document.
  public let forAll: Bool
  public let names: [String]
  public let groups: [String]

  public init(forAll: Bool, names: [String], groups: [String]) {
    (self.forAll, self.names, self.groups) = (forAll, names, groups)
  }

  public func mayChange(_ document: Document, at now: Time.Timestamp) -> Bool {
    forAll
      || document.permissions(
        names: Set(names.map { ExactName($0) }), groups: Set(groups.map { ExactName($0) }), at: now
      ).contains(.change)
  }
}

extension StandingRights: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    var fields = try JSONFields(json)
    func texts(_ value: JSONValue?) -> [String] { (value?.array ?? []).compactMap(\.string) }
    self.init(
      forAll: try fields.optional("all") ?? false, names: texts(try fields.optional("names")),
      groups: texts(try fields.optional("groups")))
  }

  func write(_ writer: inout JSONWriter) {
    writer.object {
      if forAll { $0.member("all", true) }
      if !names.isEmpty { $0.member("names", names) }
      if !groups.isEmpty { $0.member("groups", groups) }
    }
  }
}
