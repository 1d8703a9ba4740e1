import Spelling

/// Reads the members of an object one by one and, at the end, refuses members that were not read.
///
/// Every error carries the path of the member from the outermost object on.
public struct JSONFields {
  private let object: JSONObject
  private let path: [JSONError.Step]
  private var known: [String] = []

  public init(_ value: JSONValue, path: [JSONError.Step] = []) throws(JSONError) {
    guard case .object(let object) = value else {
      throw JSONError(.wrongType(expected: "object", found: value.kind), path: path)
    }
    (self.object, self.path) = (object, path)
  }

  public func contains(_ name: String) -> Bool { object[name] != nil }

  public mutating func required<T: JSONReadable>(_ name: String, as type: T.Type = T.self) throws(JSONError) -> T {
    known.append(name)
    guard let value = object[name] else { throw JSONError(.missing(name), path: path + [.name(name)]) }
    return try read(value, name)
  }

  /// Returns nil if the member is missing or null.
  public mutating func optional<T: JSONReadable>(_ name: String, as type: T.Type = T.self) throws(JSONError) -> T? {
    known.append(name)
    guard let value = object[name], value != .null else { return nil }
    return try read(value, name)
  }

  private func read<T: JSONReadable>(_ value: JSONValue, _ name: String) throws(JSONError) -> T {
    do { return try T(json: value) } catch {
      throw JSONError(error.reason, offset: error.offset, path: path + [.name(name)] + error.path)
    }
  }

  /// Throws for the first member that was not read.
  public func end() throws(JSONError) {
    for member in object.members where !known.contains(member.name) {
      throw JSONError(
        .unknown(member.name, nearest: nearest(to: member.name, in: known)), path: path + [.name(member.name)])
    }
  }
}

/// A type that can be read from one JSON value.
public protocol JSONReadable {
  init(json: JSONValue) throws(JSONError)
}

extension JSONValue: JSONReadable {
  public init(json: JSONValue) { self = json }
}

extension String: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    guard let value = json.string else { throw JSONError(.wrongType(expected: "string", found: json.kind)) }
    self = value
  }
}

extension Int64: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    guard let value = json.integer else { throw JSONError(.wrongType(expected: "integer", found: json.kind)) }
    self = value
  }
}

extension Bool: JSONReadable {
  public init(json: JSONValue) throws(JSONError) {
    guard case .bool(let value) = json else { throw JSONError(.wrongType(expected: "boolean", found: json.kind)) }
    self = value
  }
}
