import Domain
import Events
import Identifiers
import JSON
import Testing
import Time

private let start = Timestamp("2026-11-27T00:00:00Z")!

private func field(
  _ name: String, _ kind: FieldKind, required: Bool = false, options: [String] = []
) -> FieldDefinition {
  FieldDefinition(name: name, title: nil, kind: kind, isRequired: required, options: options)
}

private let fields = [
  field("number", .text, required: true), field("pages", .number), field("total", .money), field("due", .date),
  field("paid", .boolean), field("state", .select, options: ["open", "closed"]), field("contract", .link),
]

private func define(_ fields: [FieldDefinition]) -> DocumentTypeCommand {
  .define(name: "invoice", title: "Invoice", fields: fields, at: start)
}

private func type(_ commands: DocumentTypeCommand...) throws -> DocumentType {
  var state: DocumentType?
  for command in commands {
    state =
      DocumentType.newEvents(
        try DocumentType.decide(command, state), from: state, at: state?.version ?? .none
      ).state
  }
  return try #require(state)
}

private func document(_ commands: DocumentCommand...) throws -> Document {
  var state: Document?
  for command in [.create(id: .version7(), title: "T", content: nil, by: "alice", at: start)] + commands {
    state = Document.newEvents(try Document.decide(command, state), from: state, at: state?.version ?? .none).state
  }
  return try #require(state)
}

private func set(_ type: DocumentType, _ values: JSONValue, setsType: Bool = true) -> DocumentCommand {
  .amend(
    title: nil, status: nil, fields: FieldsChange(by: type, setsType: setsType, values.object ?? JSONObject()),
    at: start)
}

@Suite("A type of documents", .timeLimit(.minutes(1))) struct DocumentTypeTests {
  @Test("takes values of each kind, in one form, and refuses all others by name")
  func values() throws {
    let good: [(String, JSONValue, JSONValue)] = [
      ("pages", 12, 12), ("pages", .number(literal: "1.5"), .number(literal: "1.5")),
      ("total", ["amount": "0120.50", "currency": "EUR"], ["amount": "120.50", "currency": "EUR"]),
      ("total", ["currency": "USD", "amount": 7], ["amount": "7", "currency": "USD"]),
      ("total", ["amount": "-0.00", "currency": "EUR"], ["amount": "0.00", "currency": "EUR"]),
      ("due", "2028-02-29", "2028-02-29"), ("paid", false, false), ("state", "closed", "closed"),
      ("contract", "https://example.com/a?b", "https://example.com/a?b"),
      ("contract", "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ]
    let invoice = try type(define(fields))
    for (name, sent, kept) in good {
      let made = try document(set(invoice, setting(name, sent)))
      #expect(made.custom?.values[name] == kept, "\(name) \(sent)")
      #expect(try Document(rowImage: JSONValue(parsing: made.rowImage)).custom == made.custom)
    }
    let bad: [(String, JSONValue)] = [
      ("number", 1), ("number", .string(String(repeating: "x", count: 2_001))), ("pages", "12"), ("total", "12 EUR"),
      ("total", ["amount": "1e3", "currency": "EUR"]), ("total", ["amount": "1.23456", "currency": "EUR"]),
      ("total", ["amount": ".5", "currency": "EUR"]), ("total", ["amount": "1", "currency": "euro"]),
      ("total", ["amount": "1234567890123456", "currency": "EUR"]), ("due", "2026-02-30"), ("due", "2026-2-3"),
      ("paid", "yes"), ("state", "lost"), ("contract", "javascript:alert(1)"), ("contract", "https://a b"),
      ("unknown", 1), ("number", .null), ("unknown", .null), ("due", "0000-01-01"),
      ("pages", .number(literal: "0." + String(repeating: "1", count: 1_100))), ("pages", .number(literal: "1e200")),
    ]
    for (name, value) in bad {
      do {
        _ = try document(set(invoice, setting(name, value)))
        Issue.record("\(name) \(value) was taken")
      } catch DocumentRefusal.field(let problem) {
        #expect(problem.name == name)
      }
    }
  }

  @Test("keeps what is not named, and what a newer definition or another type does not know")
  func changing() throws {
    let invoice = try type(define(fields))
    let first = try document(set(invoice, ["number": "1", "paid": false, "state": "open"]))
    func after(_ command: DocumentCommand, _ document: Document) throws -> Document {
      try #require(
        Document.newEvents(try Document.decide(command, document), from: document, at: document.version).state)
    }
    let second = try after(set(invoice, ["paid": true, "state": .null], setsType: false), first)
    #expect(second.custom?.values == object(["number": "1", "paid": true]))
    #expect(try Document.decide(set(invoice, ["paid": true]), second) == [])
    // Without the field that has a value, and with another that has to have one.
    let newer = try type(define(fields), define([field("number", .text), field("vat", .text, required: true)]))
    #expect(newer.definition == 2)
    #expect(throws: DocumentRefusal.self) { try Document.decide(set(newer, ["number": "2"]), second) }
    let third = try after(set(newer, ["vat": "DE1"]), second)
    #expect(third.custom?.values == object(["number": "1", "paid": true, "vat": "DE1"]))
    #expect(third.custom?.definition == 2)
    // Another type takes over what it knows too.
    var receipt: DocumentType?
    receipt =
      DocumentType.newEvents(
        try DocumentType.decide(
          .define(name: "receipt", title: "R", fields: [field("number", .text), field("paid", .text)], at: start), nil),
        from: nil, at: .none
      ).state
    let other = try #require(receipt)
    #expect(throws: DocumentRefusal.hasOtherType("invoice", expected: "receipt")) {
      try Document.decide(set(other, [:], setsType: false), third)
    }
    let fourth = try after(set(other, [:]), third)
    #expect(fourth.custom?.type == "receipt" && fourth.custom?.values == object(["number": "1"]))
    #expect(try after(.removeType(at: start), fourth).custom == nil)
    let retired = try type(define(fields), .retire(at: start))
    #expect(throws: DocumentRefusal.typeIsRetired("invoice")) { try Document.decide(set(retired, [:]), fourth) }
    #expect(try after(set(retired, ["paid": false]), second).custom?.values["paid"] == false)
    // Members of fields are told one by one.
    let changes = FieldChange.between(
      try JSONValue(parsing: first.rowImage).object, try JSONValue(parsing: second.rowImage).object)
    #expect(changes.map(\.field) == ["fields.paid", "fields.state", "version"])
  }

  @Test("tells texts apart that look the same")
  func equivalentTexts() throws {
    let (one, two) = ("\u{E9}", "e\u{301}")
    let made = try type(define([field("name", .text), field("s", .select, options: [one, two])]))
    let first = try document(set(made, ["name": .string(one), "s": .string(one)]))
    #expect(try Document.decide(set(made, ["name": .string(two)]), first).count == 1)
    #expect(try Document.decide(set(made, ["s": .string(two)]), first).count == 1)
    #expect(try Document.decide(set(made, ["s": .string(one)]), first) == [])
    #expect(
      try DocumentType.decide(define([field("name", .text), field("s", .select, options: [two])]), made).count == 1)
  }

  @Test("is defined within limits, and a field keeps its kind")
  func definitions() throws {
    let known = try type(define(fields))
    #expect(try DocumentType.decide(define(fields), known) == [])
    let refused: [([FieldDefinition], DocumentTypeRefusal)] = [
      ([field("pages", .text)], .keepsItsKind("pages", .number)), ([field("Pages", .text)], .fieldIsMalformed("Pages")),
      ([field("a", .text), field("a", .text)], .namedTwice("a")), ([field("s", .select)], .optionsAreMalformed("s")),
      ([field("t", .text, options: ["a"])], .optionsAreMalformed("t")),
      ((0...100).map { field("f\($0)", .text) }, .tooManyFields(limit: 100)),
    ]
    for (fields, refusal) in refused {
      #expect(throws: refusal) { try DocumentType.decide(define(fields), known) }
    }
    let without = try type(define(fields), define([]))
    #expect(throws: DocumentTypeRefusal.keepsItsKind("due", .date)) {
      try DocumentType.decide(define([field("due", .text)]), without)
    }
    #expect(throws: DocumentTypeRefusal.notFound) { try DocumentType.decide(.retire(at: start), nil) }
  }

  @Test("its events are read as they were written")
  func fixtures() throws { try EventFixture.check(DocumentType.self) }
}

/// Fields with the one that is required, and another one.
private func setting(_ name: String, _ value: JSONValue) -> JSONValue {
  .object(
    JSONObject((name == "number" ? [] : [.init(name: "number", value: "1")]) + [.init(name: name, value: value)]))
}

private func object(_ value: JSONValue) -> JSONObject? { value.object }
