import JSON
@testable import Connector
import Testing

@Suite("Values of columns", .timeLimit(.minutes(5))) struct ValueTests {
  private func json(
    _ text: String, _ type: String, modifier: Int32 = -1, element: String? = nil, _ options: ColumnOptions = .init()
  ) -> String {
    var writer = JSONWriter()
    let type = ColumnType(TypeDescription(name: type, modifier: modifier, element: element), options)
    Array(text.utf8).withUnsafeBytes { ValueWriter(options: options).write($0, type, into: &writer) }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  @Test(
    "have the form that Debezium gives them",
    arguments: [
      ("t", "bool", "true"), ("-32768", "int2", "-32768"), ("1.1", "float8", "1.1"), ("NaN", "float4", "\"NaN\""),
      ("1e-45", "float4", "1.4e-45"), ("1e999", "float8", "1e999"), ("-Infinity", "float8", "\"-Infinity\""),
      ("123.450", "numeric", #"{"scale":2,"value":"MDk="}"#),
      ("$1,234.56", "money", "\"AeJA\""), ("\\xdeadbeef", "bytea", "\"3q2+7w==\""), ("2024-02-29", "date", "19782"),
      ("0044-03-15 BC", "date", "-735160"), ("13:14:15.123456", "time", "47655123456"),
      ("13:14:15.123+05:30", "timetz", "\"07:44:15.123Z\""), ("1969-12-31 23:59:59.999999", "timestamp", "-1"),
      ("2024-02-29 13:14:15.123456+02", "timestamptz", "\"2024-02-29T11:14:15.123456Z\""),
      ("infinity", "timestamptz", "\"infinity\""),
      ("0044-03-15 12:00:00+00 BC", "timestamptz", "\"-0043-03-15T12:00:00.000000Z\""),
      ("1 year 2 mons 3 days 04:05:06.789", "interval", "37091106789000"), ("101100001111", "varbit", "\"Dws=\""),
      ("\"k\"=>\"v \\\"q\", \"n\"=>NULL", "hstore", #""{\"k\":\"v \\\"q\",\"n\":null}""#),
      ("(1.5,-2)", "point", #"{"x":1.5,"y":-2.0,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","srid":null}"#),
    ])
  func forms(_ text: String, _ type: String, _ expected: String) { #expect(json(text, type) == expected) }

  @Test("follow precision and the options of how they are written")
  func modes() {
    #expect(json("13:14:15.124", "time", modifier: 3) == "47655124")
    #expect(json("13:14:15.124", "time", modifier: 3, ColumnOptions(timePrecision: .microseconds)) == "47655124000")
    let numeric: Int32 = 5 << 16 | 2 + 4
    #expect(json("-999.99", "numeric", modifier: numeric) == "\"/nlh\"")
    #expect(json("1.5", "numeric", modifier: numeric, ColumnOptions(decimals: .string)) == "\"1.50\"")
    #expect(json("1.50", "numeric", modifier: numeric, ColumnOptions(decimals: .double)) == "1.5")
    #expect(json("\\xfbff", "bytea", ColumnOptions(binary: .base64URLSafe)) == "\"-_8=\"")
    #expect(json("\\xfbff", "bytea", ColumnOptions(binary: .hex)) == "\"fbff\"")
    #expect(json("-00:00:00.5", "interval", ColumnOptions(intervals: .string)) == "\"P0Y0M0DT0H0M-0.5S\"")
    #expect(json("1", "bit", modifier: 1) == "true")
  }

  @Test("of arrays come one by one, with quotes and nulls; more dimensions have no form")
  func arrays() {
    #expect(
      json(#"{a,"b c","q\"uote",NULL,"NULL",""}"#, "_text", element: "text") == #"["a","b c","q\"uote",null,"NULL",""]"#
    )
    #expect(json("{}", "_int4", element: "int4") == "[]")
    #expect(json("{{1},{2}}", "_int4", element: "int4") == "null")
  }

  @Test("that are not of their type's form are null and never trap", .timeLimit(.minutes(1)))
  func mangled() {
    let types = [
      "bool", "int4", "float8", "numeric", "money", "bytea", "date", "time", "timetz", "timestamp", "timestamptz",
      "interval", "bit", "hstore", "point", "box", "text",
    ]
    let alphabet = Array("0123456789-+:. {}\",\\xefBCNinfityT=>()$".utf8)
    let end = ContinuousClock.now + .seconds(1)
    while .now < end {
      let text = String(decoding: (0..<Int.random(in: 0...24)).map { _ in alphabet.randomElement()! }, as: UTF8.self)
      for type in types {
        _ = json(text, type, modifier: Int32.random(in: -1...700_000))
        _ = json(text, "_\(type)", element: type)
      }
    }
    #expect(json("nonsense", "date") == "null")
  }

  @Test("of defaults are taken from their expressions")
  func defaults() {
    #expect(DefaultExpression("'draft'::text") == .literal("draft"))
    #expect(DefaultExpression("'it''s'::character varying") == .literal("it's"))
    #expect(DefaultExpression("1.500") == .literal("1.500"))
    #expect(DefaultExpression("'-5'::integer") == .literal("-5"))
    #expect(DefaultExpression("true") == .literal("t"))
    #expect(DefaultExpression("NULL::text") == .null)
    #expect(DefaultExpression("nextval('s'::regclass)") == .computed)
    #expect(DefaultExpression("('a'::text || 'b'::text)") == .computed)
  }

  @Test("of numbers keep every digit")
  func decimals() {
    #expect(Decimal("12345678901234567890123456789012345678".utf8)?.unscaledBytes.count == 16)
    #expect(Decimal("-128".utf8)?.unscaledBytes == [0x80])
    #expect(Decimal("128".utf8)?.unscaledBytes == [0, 0x80])
    #expect(Decimal("-0.0".utf8)?.unscaledBytes == [0])
    #expect(Decimal("NaN".utf8) == nil)
    #expect(Decimal("".utf8) == nil)
  }
}
