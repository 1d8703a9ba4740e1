import Files
import Glibc
import Protobuf
import Support
import Testing

@Suite("Messages of Protocol Buffers", .workLimit(minutes: 3)) struct WireTests {
  private static let peer = #filePath.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/peer.py"

  /// Half of the messages are mangled.
  @Test("are read and written as Python's implementation does it, and refused where it refuses them")
  func peer() async throws {
    try await withReactor { reactor in
      let name = "\(Stack.temporaryFolder)/\(Stack.uniqueName("protobuf"))"
      let (given, written, judged) = ("\(name).given", "\(name).written", "\(name).judged")
      defer { for path in [given, written, judged] { unlink(path) } }
      let seed = UInt32.random(in: 0...UInt32.max)
      _ = try await output(of: Self.peer, ["make", "20000", "\(seed)", given], on: reactor)
      let bytes = try File.read(given, limit: 256 << 20)
      var (answers, verdicts): ([UInt8], [UInt8]) = ([], [])
      var place = 0
      while place < bytes.count {
        let count = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
        let data = Array(bytes[place + 4..<place + 4 + count])
        place += 4 + count
        guard let message = try? EverythingProto.All(protobuf: data) else {
          verdicts.append(0)
          continue
        }
        verdicts.append(1)
        let own = message.protobuf
        answers += withUnsafeBytes(of: UInt32(own.count).bigEndian) { Array($0) } + own
      }
      try write(answers, to: written)
      try write(verdicts, to: judged)
      let judgement = try await output(of: Self.peer, ["judge", given, judged], on: reactor)
      #expect(judgement.hasSuffix("20000 judged, 0 otherwise\n"), "seed \(seed): \(judgement)")
      let comparison = try await output(of: Self.peer, ["compare", given, written], on: reactor)
      #expect(comparison.hasSuffix("messages, 0 different\n"), "seed \(seed): \(comparison)")
    }
  }

  @Test("may lie in one another a hundred times, not more")
  func depth() throws {
    func nested(_ depth: Int) -> [UInt8] {
      var bytes: [UInt8] = []
      for _ in 0..<depth {
        var head: [UInt8] = [0x12]
        var count = bytes.count
        while count >= 0x80 {
          head.append(UInt8(count & 0x7F) | 0x80)
          count >>= 7
        }
        bytes = head + [UInt8(count)] + bytes
      }
      return bytes
    }
    _ = try EverythingProto.Tree(protobuf: nested(100))
    #expect(throws: ProtobufError.tooDeep) { try EverythingProto.Tree(protobuf: nested(101)) }
    #expect(throws: ProtobufError.tooDeep) { try EverythingProto.Tree(protobuf: nested(50_000)) }
  }

  private func write(_ bytes: [UInt8], to path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
  }
}
