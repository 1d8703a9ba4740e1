public import Events
import JSON
public import Time

/// A type of documents, as its events have made it: which fields of their own they may have.
public struct DocumentType: Equatable, Sendable {
  public let name: String
  public internal(set) var title: String
  public internal(set) var fields: [FieldDefinition]
  /// How often the type was defined anew: the version of its schema.
  public internal(set) var definition: Int64
  /// The kind of every field that it ever had: a name keeps its kind.
  public internal(set) var kinds: [String: FieldKind]
  public let createdAt: Time.Timestamp
  public internal(set) var updatedAt: Time.Timestamp
  /// No document gets it any more; those that have it keep it.
  public internal(set) var isRetired = false
  /// The stream's.
  public internal(set) var version: StreamVersion

  public static let maximumFields = 100
  public static let maximumOptions = 200
  /// How long a title and an option may be, in bytes of UTF-8.
  public static let maximumTitle = 200
  /// How long a name may be.
  public static let maximumName = 40

  /// The field of a name; nil: it has none.
  public func field(_ name: String) -> FieldDefinition? {
    fields.first { $0.name.utf8.elementsEqual(name.utf8) }
  }

  /// A letter a to z, then letters, digits and underscores.
  public static func isName(_ text: String) -> Bool {
    let bytes = text.utf8
    let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    return (1...maximumName).contains(bytes.count) && bytes.first.map(letters.contains) == true
      && bytes.allSatisfy { letters.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "_") }
  }
}

public enum DocumentTypeCommand: Sendable {
  /// Defines it, anew if it exists. A retired type is one again.
  case define(name: String, title: String, fields: [FieldDefinition], at: Time.Timestamp)
  case retire(at: Time.Timestamp)
}

public enum DocumentTypeRefusal: Refusal, Equatable, Sendable {
  case notFound
  case nameIsMalformed(String)
  case titleIsMalformed
  case tooManyFields(limit: Int)
  case fieldIsMalformed(String)
  case namedTwice(String)
  case keepsItsKind(String, FieldKind)
  case optionsAreMalformed(String)

  public var kind: RefusalKind {
    switch self {
    case .notFound: .notFound
    case .keepsItsKind: .conflict
    case .nameIsMalformed, .titleIsMalformed, .tooManyFields, .fieldIsMalformed, .namedTwice, .optionsAreMalformed:
      .invalid
    }
  }

  public var field: String? {
    switch self {
    case .notFound, .nameIsMalformed: nil
    case .titleIsMalformed: "/title"
    case .tooManyFields, .fieldIsMalformed, .namedTwice, .keepsItsKind, .optionsAreMalformed: "/fields"
    }
  }

  public var description: String {
    switch self {
    case .notFound: "there is no such type of documents"
    case .nameIsMalformed(let name):
      "“\(name.prefix(80))” is no name: use 1 to \(DocumentType.maximumName) letters a to z, digits and underscores, a letter first"
    case .titleIsMalformed:
      "a title has 1 to \(DocumentType.maximumTitle) bytes of UTF-8, not all of them blank, and no character U+0000"
    case .tooManyFields(let limit): "a type has at most \(limit) fields"
    case .fieldIsMalformed(let name):
      "field “\(name.prefix(80))”: a name has 1 to \(DocumentType.maximumName) letters a to z, digits and underscores, a letter first; a title has 1 to \(DocumentType.maximumTitle) bytes"
    case .namedTwice(let name): "field \(name) is there twice"
    case .keepsItsKind(let name, let kind):
      "field \(name) is of the kind \(kind.rawValue), and stays so: values of it may be recorded; give the new one another name"
    case .optionsAreMalformed(let name):
      "field \(name): a select has 1 to \(DocumentType.maximumOptions) options, each of 1 to \(DocumentType.maximumTitle) bytes and there once; other kinds have none"
    }
  }
}

extension DocumentType: Aggregate {
  public static let category: StaticString = "type"

  public var publishedRow: [UInt8]? { rowImage }

  public static func decide(
    _ command: DocumentTypeCommand, _ state: DocumentType?
  ) throws(DocumentTypeRefusal) -> [DocumentTypeEvent] {
    switch command {
    case .define(let name, let title, let fields, let at):
      guard isName(name) else { throw .nameIsMalformed(name) }
      guard isTitle(title) else { throw .titleIsMalformed }
      guard fields.count <= maximumFields else { throw .tooManyFields(limit: maximumFields) }
      var seen: Set<String> = []
      for field in fields {
        guard isName(field.name), field.title.map(isTitle) != false else { throw .fieldIsMalformed(field.name) }
        guard seen.insert(field.name).inserted else { throw .namedTwice(field.name) }
        if let kind = state?.kinds[field.name], kind != field.kind { throw .keepsItsKind(field.name, kind) }
        guard areOptions(field.options, of: field.kind) else { throw .optionsAreMalformed(field.name) }
      }
      if let state, !state.isRetired, state.title.utf8.elementsEqual(title.utf8), state.fields == fields { return [] }
      return [.defined(name: name, title: title, fields: fields, at: at)]
    case .retire(let at):
      guard let state else { throw .notFound }
      return state.isRetired ? [] : [.retired(at: at)]
    }
  }

  private static func isTitle(_ text: String) -> Bool { text.isReadable(upTo: maximumTitle) }

  private static func areOptions(_ options: [String], of kind: FieldKind) -> Bool {
    guard kind == .select else { return options.isEmpty }
    return (1...maximumOptions).contains(options.count) && options.allSatisfy(isTitle)
      && Set(options.map { Array($0.utf8) }).count == options.count
  }

  public static func evolve(
    _ state: DocumentType?, _ event: DocumentTypeEvent, at version: StreamVersion
  ) -> DocumentType? {
    switch event {
    case .defined(let name, let title, let fields, let at):
      var type =
        state
        ?? DocumentType(
          name: name, title: title, fields: [], definition: 0, kinds: [:], createdAt: at, updatedAt: at,
          version: version)
      (type.title, type.fields, type.updatedAt) = (title, fields, at)
      (type.definition, type.isRetired, type.version) = (type.definition + 1, false, version)
      for field in fields { type.kinds[field.name] = field.kind }
      return type
    case .retired(let at):
      guard var type = state else { return nil }
      (type.isRetired, type.updatedAt, type.version) = (true, at, version)
      return type
    }
  }

  /// The row image: the form of a type in change events and answers.
  public var rowImage: [UInt8] {
    var writer = JSONWriter(reserving: 512)
    writer.object { writer in
      writer.member("name", name)
      writer.member("title", title)
      FieldDefinition.write(fields, &writer)
      writer.member("retired", isRetired)
      writer.member("created_at", createdAt.description)
      writer.member("updated_at", updatedAt.description)
      writer.member("type_version", definition)
      writer.member("version", version.value)
    }
    return writer.bytes
  }
}
