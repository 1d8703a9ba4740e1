import Postgres
@testable import Relay
import Testing
import Time

@Suite("pgoutput messages", .timeLimit(.minutes(5))) struct PgOutputDecoderTests {
  /// Recorded from Postgres 15: a transaction that inserts one row into a table of an integer and a text.
  static let begin = "4200000000032d09e8000303be823acd2500000309"
  static let commit = "430000000000032d09e800000000032d0a18000303be823acd25"
  static let relation = "520000403074657374007400640002016e0000000017ffffffff00730000000019ffffffff"
  static let insert = "4900004030" + "4e0002" + "620000000400000007" + "6e"

  private func bytes(_ hexadecimal: String) -> [UInt8] {
    stride(from: 0, to: hexadecimal.count, by: 2).map { index in
      let start = hexadecimal.index(hexadecimal.startIndex, offsetBy: index)
      return UInt8(hexadecimal[start..<hexadecimal.index(start, offsetBy: 2)], radix: 16)!
    }
  }

  private func decode(_ bytes: [UInt8], _ body: (PgOutputMessage) -> Void) throws {
    try bytes.withUnsafeBytes { body(try PgOutputDecoder.decode($0)) }
  }

  @Test("are read")
  func messages() throws {
    try decode(bytes(Self.begin)) {
      guard case .begin(let lsn, let time, let transaction) = $0 else {
        Issue.record("another message")
        return
      }
      #expect(lsn.description == "0/32D09E8")
      #expect(transaction == 777)
      #expect(time.microseconds == 1_795_226_493_693_221)
    }
    try decode(bytes(Self.commit)) {
      guard case .commit(_, let end, _) = $0 else {
        Issue.record("another message")
        return
      }
      #expect(end.description == "0/32D0A18")
    }
    try decode(bytes(Self.relation)) {
      guard case .relation(let relation) = $0 else {
        Issue.record("another message")
        return
      }
      #expect(relation.schema == "test" && relation.name == "t")
      #expect(relation.columns.map(\.name) == ["n", "s"])
      #expect(relation.columns.map(\.type) == [23, 25])
    }
    try decode(bytes(Self.insert)) {
      guard case .insert(let relation, let row) = $0 else {
        Issue.record("another message")
        return
      }
      #expect(relation == 16_432)
      guard case .binary(let value) = row.columns[0], case .null = row.columns[1] else {
        Issue.record("another row")
        return
      }
      #expect(Array(value) == [0, 0, 0, 7])
    }
  }

  @Test("that are cut short are errors", arguments: [begin, commit, relation, insert])
  func truncated(_ message: String) {
    let whole = bytes(message)
    for count in 0..<whole.count {
      #expect(throws: PgOutputError.self) { try decode(Array(whole[..<count])) { _ in } }
    }
  }

  @Test("that are mangled never trap", .timeLimit(.minutes(1)))
  func mangled() {
    let end = ContinuousClock.now + .seconds(1)
    while .now < end {
      for message in [Self.begin, Self.commit, Self.relation, Self.insert] {
        var mangled = bytes(message)
        for _ in 0..<3 { mangled[Int.random(in: 0..<mangled.count)] = UInt8.random(in: 0...255) }
        do { try decode(mangled) { _ in } } catch {}  // either answer will do
      }
    }
  }
}
