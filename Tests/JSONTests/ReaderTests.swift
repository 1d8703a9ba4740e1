import JSON
import Testing

@Suite("Reading JSON", .timeLimit(.minutes(5))) struct ReaderTests {
  @Test(
    "accepts what RFC 8259 calls JSON",
    arguments: [
      "null", " true ", "-0", "0", "-12.5e-3", "1E400", "\"\"", "[]", "{}", "[1,[2,{\"a\":null}]]",
      #""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#, "\"\u{7F}é😀\"", "\t\r\n [ ] ",
    ])
  func accepts(_ text: String) throws {
    _ = try JSONValue(parsing: text)
  }

  @Test(
    "refuses what is not JSON",
    arguments: [
      "", " ", "nul", "tru e", "+1", "01", "-", "1.", ".5", "1e", "1e+", "0x1", "NaN", "[1,]", "[,1]", "[1 2]", "{",
      "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "'a'", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\n\"",
      "[1]2", "\u{FEFF}1", "/**/1", "]", "{\"a\":1 \"b\":2}", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
      "\"\\ud800\\ud800\"",
    ])
  func refuses(_ text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
  }

  @Test("keeps every number exactly as it was")
  func numbers() throws {
    #expect(try JSONValue(parsing: "9223372036854775807") == .integer(.max))
    #expect(try JSONValue(parsing: "-9223372036854775808") == .integer(.min))
    #expect(try JSONValue(parsing: "9223372036854775808") == .number(literal: "9223372036854775808"))
    #expect(try JSONValue(parsing: "12345678901234567.89") == .number(literal: "12345678901234567.89"))
    #expect(try JSONValue(parsing: "0.10") == .number(literal: "0.10"))
    #expect(try JSONValue(parsing: "-0") == .number(literal: "-0"))
    #expect(try JSONValue(parsing: "123456789012345678") == .integer(123_456_789_012_345_678))
  }

  @Test("refuses bytes that are not UTF-8", arguments: [[0xC0, 0x80], [0xFF], [0xED, 0xA0, 0x80], [0xC3]])
  func utf8(_ bytes: [UInt8]) {
    #expect(throws: JSONError(.invalidUTF8, offset: 0)) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
  }

  @Test("refuses a name that comes twice, in small and in large objects")
  func duplicates() {
    let many = (0..<40).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
    #expect(throws: JSONError.self) { try JSONValue(parsing: #"{"a":1,"a":2}"#) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: "{\(many),\"k3\":0}") }
    #expect(throws: Never.self) { try JSONValue(parsing: "{\(many)}") }
  }

  @Test("stops at the depth it was told")
  func depth() throws {
    let text = String(repeating: "[", count: 65) + String(repeating: "]", count: 65)
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    _ = try JSONValue(parsing: text, maximumDepth: 65)
  }

  @Test("says where an error is")
  func place() throws {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: #"{"a":[1,{"b/~":tru}]}"#) }
    #expect(error?.pointer == "/a/1/b~1~0")
    #expect(error?.offset == 15)
  }
}

@Suite("Writing JSON", .timeLimit(.minutes(5))) struct WriterTests {
  @Test("writes what reads back the same")
  func roundTrip() throws {
    let text = #"{"a":[1,-2,0.10,1e400,true,false,null,"é\"\\\u0001\n😀"],"b":{},"c":[]}"#
    let value = try JSONValue(parsing: text)
    #expect(try JSONValue(parsing: value.description) == value)
    #expect(value.description == #"{"a":[1,-2,0.10,1e400,true,false,null,"é\"\\\u0001\n😀"],"b":{},"c":[]}"#)
  }

  @Test("writes whole numbers to their ends")
  func integers() {
    var writer = JSONWriter()
    writer.array { writer in
      for value in [Int64.min, -1, 0, 10, .max] {
        writer.element()
        writer.integer(value)
      }
    }
    #expect(String(decoding: writer.bytes, as: UTF8.self) == "[-9223372036854775808,-1,0,10,9223372036854775807]")
  }
}

@Suite("Taking fields", .timeLimit(.minutes(5))) struct FieldsTests {
  @Test("names what is missing, wrong or unknown")
  func errors() throws {
    var fields = try JSONFields(JSONValue(parsing: #"{"titel":"a","size":"x"}"#))
    #expect(throws: JSONError(.missing("title"), path: [.name("title")])) {
      try fields.required("title", as: String.self)
    }
    #expect(throws: JSONError(.wrongType(expected: "integer", found: "string"), path: [.name("size")])) {
      try fields.required("size", as: Int64.self)
    }
    #expect(throws: JSONError(.unknown("titel", nearest: "title"), path: [.name("titel")])) { try fields.end() }
  }
}

@Suite("Any bytes", .timeLimit(.minutes(5))) struct FuzzTests {
  /// Texts that touch every branch of the reader, as seeds.
  static let seeds = [
    #"{"a":[1,-2.5e+10,true,false,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":{}}}"#, "[[[[[]]]]]", #""\ud800\udc00""#,
    "-0.0e-0", "[1,2,3,4,5,6,7,8,9,10]",
  ]

  /// SplitMix64: the same numbers for the same seed, so that a failure can be repeated.
  struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = state
      value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
      return value ^ (value >> 31)
    }
  }

  @Test("never trap, and what is accepted reads back the same", arguments: 1...20)
  func mutations(_ start: UInt64) throws {
    var accepted = 0
    var generator = Generator(state: start)
    for _ in 0..<500 {
      for seed in Self.seeds {
        var bytes = Array(seed.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
          let index = Int.random(in: 0..<bytes.count, using: &generator)
          switch Int.random(in: 0..<4, using: &generator) {
          case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
          case 1: bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &generator)], at: index)
          case 2 where bytes.count > 1: bytes.remove(at: index)
          default: bytes.swapAt(index, Int.random(in: 0..<bytes.count, using: &generator))
          }
        }
        do throws(JSONError) {
          let value = try JSONValue(parsing: bytes)
          accepted += 1
          #expect(try JSONValue(parsing: value.bytes) == value)
        } catch {
          if let offset = error.offset { #expect((0...bytes.count).contains(offset)) }
        }
      }
    }
    #expect(accepted > 0)
  }

  @Test("a long name is cut in the place of an error")
  func longNames() {
    let error = JSONError(.missing("a"), path: [.name(String(repeating: "x~", count: 1_000_000)), .name("a/b")])
    #expect(error.pointer.utf8.count < 200 && error.pointer.hasSuffix("/a~1b"))
  }
}
