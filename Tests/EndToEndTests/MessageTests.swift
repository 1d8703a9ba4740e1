import Support
import Testing

@Suite("Messages", .workLimit(minutes: 5)) struct MessageTests {
  @Test("on topics and as server-sent events are as docs/asyncapi.json describes them")
  func described() async throws {
    try await withAnnals([
      "ANNALS_PROJECTION_VIEWS": "", "ANNALS_WEBHOOKS_SECRET": "a secret of this test, of 32 bytes",
    ]) { annals in
      let printed = try await annals.output(
        of: ".stack/tools/bin/python", ["Tests/API/messages.py", annals.url, try Stack.kafka, annals.topic])
      #expect(printed.hasSuffix("all messages and channels are as docs/asyncapi.json describes them\n"), "\(printed)")
    }
  }
}
