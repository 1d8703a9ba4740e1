import JSON

/// What is searched for: words, and with operators phrases, prefixes and exclusions.
struct SearchText: InputValue {
  static let meaning =
    "The text to search for; all documents if it is missing. “\"annual report\"” is a phrase, “-draft” excludes a word, “contr*” is a beginning, “|” means or, parentheses group. With any of these all words are needed, without them one is enough."

  static let schema = JSONSchema.string(maxLength: maximum)
  static let maximum = 1_000
  /// Fields and how much a word in them counts.
  static let allFields = [
    ("title", "title^3"), ("content", "content"), ("created_by", "created_by"), ("fields", "field_texts"),
  ]

  private let text: String
  private let hasOperators: Bool
  /// Empty: all of them.
  var fields: [String] = []

  init() { (text, hasOperators) = ("", false) }

  init(json: JSONValue) throws(JSONError) {
    text = try String(json: json)
    guard text.utf8.count <= Self.maximum else {
      throw JSONError(.invalid(String(text.prefix(40)), remedy: "at most \(Self.maximum) bytes"))
    }
    var (quote, open) = (Int?.none, [Int]())
    var found = false
    for (place, character) in text.enumerated() {
      switch character {
      case "\"":
        quote = quote == nil ? place : nil
        found = true
      case "(" where quote == nil:
        open.append(place)
        found = true
      case ")" where quote == nil:
        guard open.popLast() != nil else {
          throw JSONError(.invalid(")", remedy: "the parenthesis at character \(place + 1) closes none"))
        }
      case "|" where quote == nil, "*" where quote == nil: found = true
      case "-" where quote == nil, "+" where quote == nil:
        // Within a word a hyphen is none.
        let before = text.index(text.startIndex, offsetBy: place)
        if place == 0 || text[text.index(before: before)].isWhitespace { found = true }
      default: break
      }
    }
    if let quote {
      throw JSONError(.invalid("\"", remedy: "the quotation mark at character \(quote + 1) has no second one"))
    }
    if let open = open.last {
      throw JSONError(.invalid("(", remedy: "the parenthesis at character \(open + 1) is not closed"))
    }
    hasOperators = found
  }

  var query: JSONValue {
    let wanted = Self.allFields.filter { fields.isEmpty || fields.contains($0.0) }.map { JSONValue.string($0.1) }
    if text.allSatisfy(\.isWhitespace) { return ["match_all": [:]] }
    guard hasOperators else { return ["multi_match": ["query": .string(text), "fields": .array(wanted)]] }
    return [
      "simple_query_string": [
        "query": .string(text), "fields": .array(wanted), "default_operator": "and",
        "flags": "OR|NOT|AND|PHRASE|PREFIX|PRECEDENCE|WHITESPACE",
      ]
    ]
  }
}

/// The fields that are searched.
struct SearchFields: InputValue {
  static let meaning = "Search these fields only, joined by commas: title, content, created_by, fields."
  static let schema = JSONSchema.string()

  let names: [String]

  private static let remedy = "some of \(SearchText.allFields.map(\.0).joined(separator: ", "))"

  init(json: JSONValue) throws(JSONError) {
    names = try String(json: json).split(separator: ",").map { $0.filter { $0 != " " } }
    for name in names where !SearchText.allFields.contains(where: { $0.0 == name }) {
      throw JSONError(.invalid(String(name.prefix(80)), remedy: Self.remedy))
    }
    guard !names.isEmpty else { throw JSONError(.invalid("", remedy: Self.remedy)) }
  }
}

/// The order of hits.
enum SearchOrder: String, CaseIterable, InputValue {
  case score
  case created = "created_at"
  case createdLast = "-created_at"
  case updated = "updated_at"
  case updatedLast = "-updated_at"
  case title

  static let meaning =
    "The order: score (best first), created_at, updated_at, title; with a hyphen before it the latest first."
  static var schema: JSONSchema { .string(values: allCases.map(\.rawValue)) }

  init(json: JSONValue) throws(JSONError) {
    let text = try String(json: json)
    guard let order = Self(rawValue: text) else {
      throw JSONError(
        .invalid(String(text.prefix(80)), remedy: "one of \(Self.allCases.map(\.rawValue).joined(separator: ", "))"))
    }
    self = order
  }

  /// The id decides between equals, so that pages neither repeat nor leave out one.
  var clause: JSONValue {
    switch self {
    case .score: [["_score": "desc"], ["created_at": "desc"], ["id": "asc"]]
    case .created: [["created_at": "asc"], ["id": "asc"]]
    case .createdLast: [["created_at": "desc"], ["id": "asc"]]
    case .updated: [["updated_at": "asc"], ["id": "asc"]]
    case .updatedLast: [["updated_at": "desc"], ["id": "asc"]]
    case .title: [["title.keyword": "asc"], ["id": "asc"]]
    }
  }
}
