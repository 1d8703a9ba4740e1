public import JSON

/// One field that an event changed.
public struct FieldChange: Equatable, Sendable {
  public let field: String
  /// nil: the field, or the whole row, did not exist.
  public let before: JSONValue?
  public let after: JSONValue?

  public init(field: String, before: JSONValue?, after: JSONValue?) {
    (self.field, self.before, self.after) = (field, before, after)
  }

  /// The fields in which two rows differ, in the order of the newer row.
  public static func between(_ before: JSONObject?, _ after: JSONObject?) -> [FieldChange] {
    let names = (after?.members ?? []).map(\.name) + (before?.members ?? []).map(\.name).filter { after?[$0] == nil }
    return names.compactMap { name in
      let (old, new) = (before?[name], after?[name])
      // By bytes: strings that are canonically equivalent are different values.
      return old?.bytes == new?.bytes ? nil : FieldChange(field: name, before: old, after: new)
    }
  }
}
