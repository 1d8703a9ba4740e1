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

  /// The fields in which two rows differ, in the order of the newer row. A field that is an object itself is told member by
  /// member: `fields.total`.
  public static func between(_ before: JSONObject?, _ after: JSONObject?) -> [FieldChange] {
    differences(before, after).flatMap { change in
      let (old, new) = (change.before?.object, change.after?.object)
      guard old != nil || new != nil, old != nil || change.before == nil, new != nil || change.after == nil else {
        return [change]
      }
      return differences(old, new).map {
        FieldChange(field: "\(change.field).\($0.field)", before: $0.before, after: $0.after)
      }
    }
  }

  private static func differences(_ before: JSONObject?, _ after: JSONObject?) -> [FieldChange] {
    let names = (after?.members ?? []).map(\.name) + (before?.members ?? []).map(\.name).filter { after?[$0] == nil }
    return names.compactMap { name in
      let (old, new) = (before?[name], after?[name])
      // By bytes: strings that are canonically equivalent are different values.
      return old?.bytes == new?.bytes ? nil : FieldChange(field: name, before: old, after: new)
    }
  }
}
