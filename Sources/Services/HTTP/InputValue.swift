public import Events
import HTTPServer
public import Identifiers
public import JSON
public import Time

/// A type whose values can be read from a path, a query, a header, a JSON field or a part of a form.
public protocol InputValue: JSONReadable, Sendable {
  static var schema: JSONSchema { get }

  /// Reads a path segment, a query parameter or a header.
  init(text: String) throws(JSONError)

  /// Reads a part of a form that is a short text.
  init(part: [UInt8]) throws(JSONError)
}

extension InputValue {
  public init(text: String) throws(JSONError) { try self.init(json: .string(text)) }

  public init(part: [UInt8]) throws(JSONError) {
    guard let text = String(validating: part, as: UTF8.self) else { throw JSONError(.invalidUTF8) }
    try self.init(text: text)
  }
}

extension String: InputValue {
  public static var schema: JSONSchema { .string() }
}

extension Int64: InputValue {
  public static var schema: JSONSchema { .integer }

  public init(text: String) throws(JSONError) {
    guard let value = Int64(text) else { throw JSONError(.invalid(text, remedy: "a whole number is expected")) }
    self = value
  }
}

extension Bool: InputValue {
  public static var schema: JSONSchema { .boolean }

  public init(text: String) throws(JSONError) {
    guard let value = Bool(text) else { throw JSONError(.invalid(text, remedy: "true or false is expected")) }
    self = value
  }
}

extension UUID: InputValue {
  public static var schema: JSONSchema { .string(format: "uuid") }
}

extension Time.Timestamp: InputValue {
  public static var schema: JSONSchema { .string(format: "date-time") }
}
