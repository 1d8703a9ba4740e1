import Base64
import Testing

@Suite("Base64") struct Base64Tests {
  @Test(
    "is RFC 4648's",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
      ("foobar", "Zm9vYmFy"), ("~~~???", "fn5+Pz8/"),
    ])
  func vectors(text: String, expected: String) {
    #expect(Base64.standard(text.utf8) == expected)
    #expect(Base64.decodeLeniently(expected.utf8) == Array(text.utf8))
    let url = String(expected.prefix { $0 != "=" }).map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }
    #expect(Base64.url(text.utf8) == String(url))
    #expect(Base64.decodeURL(String(url).utf8) == Array(text.utf8))
    #expect(Base64.decodeLeniently(String(url).utf8) == Array(text.utf8))
  }

  @Test("gives back what it was made from, of any length and from any sequence") func roundTrip() {
    for count in 0..<200 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
      #expect(Base64.decodeURL(Base64.url(bytes).utf8) == bytes)
      #expect(Base64.decodeLeniently(Base64.standard(bytes).utf8) == bytes)
      #expect(Base64.standard(bytes.lazy.map { $0 }) == Base64.standard(bytes))
      #expect(Base64.decodeURL(Base64.url(bytes).utf8.lazy.map { $0 }) == bytes)
    }
  }

  @Test(
    "refuses what is none",
    arguments: [
      "Z", "Zm9vY", "Zg=", "Zm8==", "Zm9v=", "Zm9v====", "Z=g=", "=", "====", "Zm9v Zm9v", "Zm9ä", "Zm9\u{0}",
    ])
  func refused(text: String) {
    #expect(Base64.decodeLeniently(text.utf8) == nil)
    #expect(Base64.decodeURL(text.utf8) == nil)
  }

  @Test("for addresses has one form for the same bytes", arguments: ["Zh", "Zm9", "Zg==", "fn5+", "fn5/"])
  func canonical(text: String) {
    #expect(Base64.decodeURL(text.utf8) == nil)
    #expect(Base64.decodeLeniently(text.utf8) != nil)
  }
}
