import Events
import Glibc
import Identifiers
import Reactor
import Support
import Testing
import Time

@Suite("An event's entry", .workLimit(minutes: 10)) struct EntryTests {
  @Test("has its fields in the order of RFC 8785, data and metadata by their hashes")
  func form() {
    let entry = Entry(
      stream: StreamID(category: "thing", id: "a\"\u{1}é\n"), version: 3,
      id: UUID("01890a5d-ac96-774b-bcce-b302099a8057")!,
      type: "T", schemaVersion: 2, data: Array("{}".utf8), metadata: Array(#"{"actor":"a"}"#.utf8),
      recordedAt: Timestamp("2026-11-21T13:20:38.123456Z")!)
    #expect(
      String(decoding: entry.bytes, as: UTF8.self)
        == #"{"data":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","id":"01890a5d-ac96-774b-bcce-b302099a8057","#
        + #""metadata":"003d2e33666896901095b9ca7b8fec700dd407740fac6ae638485762a81f079a","recorded_at":"2026-11-21T13:20:38.123456Z","#
        + #""schema":2,"stream":"thing-a\"\u0001é\n","type":"T","v":1,"version":3}"#)
  }

  /// Numbers that are the same in each run.
  struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ state >> 29
    }
  }

  @Test("is what a second implementation makes of it, for many events")
  func secondImplementation() async throws {
    // ENTRIES=1000000 for the whole million.
    let count = getenv("ENTRIES").flatMap { Int(String(cString: $0)) } ?? 20_000
    let path = ".stack/test/\(Stack.uniqueName("entries"))"
    let file = try #require(fopen(path, "w"))
    var generator = Generator(state: 42)
    let letters = Array("abcXYZ019 -_./\\\"{}[]:,éß漢😀\u{7F}\u{80}\u{2028}\u{1}\u{8}\u{9}\u{A}\u{C}\u{D}\u{1F}")
    func text(_ length: ClosedRange<Int>, _ generator: inout Generator) -> String {
      String((0..<Int.random(in: length, using: &generator)).map { _ in letters.randomElement(using: &generator)! })
    }
    for _ in 0..<count {
      let id = UUID(high: generator.next(), low: generator.next())
      let stream = StreamID(category: "thing", id: text(1...12, &generator))
      let type = text(1...8, &generator)
      let (data, metadata) = (Array(text(0...40, &generator).utf8), Array(text(0...20, &generator).utf8))
      let version = Int64.random(in: 1...1 << 50, using: &generator)
      let schema = Int32.random(in: 1...9, using: &generator)
      let time = Timestamp(
        microseconds: Int64.random(in: -60_000_000_000_000_000...250_000_000_000_000_000, using: &generator))
      let entry = Entry(
        stream: stream, version: StreamVersion(version), id: id, type: type, schemaVersion: schema, data: data,
        metadata: metadata, recordedAt: time)
      let fields: [[UInt8]] = [
        Array(stream.description.utf8), Array("\(version)".utf8), Array(id.description.utf8), Array(type.utf8),
        Array("\(schema)".utf8), data, metadata, Array("\(time.microseconds)".utf8), entry.bytes,
      ]
      for field in fields {
        fputs("\(field.count) ", file)
        field.withUnsafeBytes { _ = fwrite($0.baseAddress, 1, $0.count, file) }
      }
    }
    fclose(file)
    defer { unlink(path) }
    try await withReactor { reactor in
      let script = #filePath.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/entry.py"
      let child = try await ChildProcess.start("python3", [script, path, "\(count)"], on: reactor)
      #expect(await child.wait() == .exited(status: 0))
      // A judge that convicts: one byte of one event is another.
      let changed = try await ChildProcess.start("python3", [script, path, "\(count)", "changed"], on: reactor)
      #expect(await changed.wait() == .exited(status: 3))
    }
  }
}
