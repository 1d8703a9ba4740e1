import Support
import Testing

@Suite("Sockets", .workLimit(minutes: 5)) struct SocketTests {
  @Test("tell, resume and end as clients expect, and speak RFC 6455 frame by frame", arguments: Processes.direct)
  func conformance(_ processes: Processes) async throws {
    try await withAnnals(searching, processes) { annals in
      let folder = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
      let printed = try await annals.output(
        of: "\(folder)/Sockets/sockets.py",
        [annals.url, annals.url(for: "/ws/"), annals.operationsURL(for: "/ws/")])
      #expect(printed.hasSuffix("20 of 20 cases hold\n"), "\(printed)")
    }
  }
}
