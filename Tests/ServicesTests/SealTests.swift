import HTTPClient
import Reactor
import Support
import Testing

@Suite("Seals", .workLimit(minutes: 5)) struct SealTests {
  private static let python = ".stack/tools/bin/python"
  private static let program =
    #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined() + "/Seals/seals.py"

  @Test(
    "of completed sessions hold for pyHanko and pdfsig, with and without a confirmed time; a changed PDF is convicted",
    arguments: [("seal", false), ("elliptic", false), ("seal", true)])
  func seals(_ key: String, isTimestamped: Bool) async throws {
    let folder = ".stack/test/seals-\(key)-\(isTimestamped)"
    let port = Stack.uniquePort()
    try await withReactor { reactor in
      let printed = try await output(of: Self.python, [Self.program, "make", folder], on: reactor)
      #expect(printed.isEmpty, "\(printed)")
    }
    let settings = [
      "ANNALS_SIGNING_SEAL_KEY": "\(folder)/\(key).key", "ANNALS_SIGNING_SEAL_CERTIFICATE": "\(folder)/\(key).pem",
      "ANNALS_SIGNING_TSA_URL": isTimestamped ? "http://127.0.0.1:\(port)/" : "",
    ]
    try await withAnnals(settings) { annals in
      let printed = try await annals.output(
        of: Self.python, [Self.program, "run", annals.url, folder] + (isTimestamped ? ["\(port)"] : []))
      #expect(printed.hasSuffix("\(isTimestamped ? "2 of 2" : "15 of 15") cases hold\n"), "\(printed)")
    }
  }
}
