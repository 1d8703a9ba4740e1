import Support
import Testing

@Suite("Webhooks", .workLimit(minutes: 5)) struct WebhookTests {
  private static let secret = ["ANNALS_WEBHOOKS_SECRET": "a secret of these tests, of 32 bytes or more"]

  @Test("are told in order, signed, again and again, and parked then", arguments: [Processes.together, .gateway])
  func cases(_ processes: Processes) async throws {
    let more = ["ANNALS_WEBHOOKS_ALLOW_PRIVATE": "true", "ANNALS_WEBHOOKS_RETRIES": "100ms,200ms"]
    try await withAnnals(Self.secret.merging(more) { $1 }, processes) { annals in
      let printed = try await run(annals)
      #expect(printed.hasSuffix("14 of 14 cases hold\n"), "\(printed)")
    }
  }

  @Test("do not reach addresses that are not of the public internet")
  func addresses() async throws {
    let more = ["ANNALS_WEBHOOKS_ALLOW_PRIVATE": "false", "ANNALS_WEBHOOKS_RETRIES": "100ms"]
    try await withAnnals(Self.secret.merging(more) { $1 }) { annals in
      let printed = try await run(annals)
      #expect(printed.hasSuffix("2 of 2 cases hold\n"), "\(printed)")
    }
  }

  private func run(_ annals: RunningAnnals) async throws -> String {
    let folder = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined()
    return try await annals.output(
      of: ".stack/tools/bin/python",
      [
        "\(folder)/Webhooks/webhooks.py", annals.url, annals.operationsURL,
        annals.url(for: "/events"),
      ])
  }
}
