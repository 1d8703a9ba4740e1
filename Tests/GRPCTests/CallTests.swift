import Support
import Testing

@Suite("Calls by gRPC", .workLimit(minutes: 5)) struct CallTests {
  private static let program = #filePath.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/calls.py"

  @Test("do what clients expect, end as they should, and bear what is mangled", arguments: Processes.direct)
  func calls(_ processes: Processes) async throws {
    let port = Stack.uniquePort()
    try await withAnnals(["ANNALS_GRPC_PORT": "\(port)"], processes) { annals in
      let printed = try await annals.output(
        of: Self.program, ["127.0.0.1:\(port)", annals.url, annals.operationsURL])
      #expect(printed.hasSuffix("12 of 12 cases hold\n"), "\(printed)")
    }
  }

  @Test("end when the client sends nothing")
  func silence() async throws {
    let port = Stack.uniquePort()
    try await withAnnals(["ANNALS_GRPC_PORT": "\(port)", "ANNALS_HTTP_HANDLER_TIMEOUT": "3s"]) { annals in
      let printed = try await annals.output(
        of: Self.program, ["127.0.0.1:\(port)", annals.url, annals.operationsURL])
      #expect(printed.hasSuffix("1 of 1 cases hold\n"), "\(printed)")
    }
  }

  @Test("of one client to one method are limited")
  func limits() async throws {
    let port = Stack.uniquePort()
    try await withAnnals(["ANNALS_GRPC_PORT": "\(port)", "ANNALS_LIMITS_REQUESTS": "5", "ANNALS_LIMITS_WINDOW": "1h"]) {
      annals in
      let printed = try await annals.output(
        of: Self.program, ["127.0.0.1:\(port)", annals.url, annals.operationsURL])
      #expect(printed.hasSuffix("1 of 1 cases hold\n"), "\(printed)")
    }
  }

  @Test("are allowed to whom the routes are allowed: each method, each role, each relation, and without a token")
  func rights() async throws {
    let port = Stack.uniquePort()
    let settings = [
      "ANNALS_GRPC_PORT": "\(port)", "ANNALS_AUTH_MODE": "tokens", "ANNALS_AUTH_ISSUER": "tests",
      "ANNALS_AUTH_SECRET": "a secret of the tests that has more than 32 bytes",
    ]
    try await withAnnals(settings) { annals in
      let printed = try await annals.output(
        of: Self.program, ["127.0.0.1:\(port)", annals.url, annals.operationsURL])
      #expect(printed.hasSuffix("1 of 1 cases hold\n") && printed.contains("100 cells"), "\(printed)")
    }
  }

  @Test("that last are told when the server stops, and health says it before")
  func stop() async throws {
    let ports = (0..<3).map { _ in "\(Stack.uniquePort())" }
    try await withAnnals { annals in
      let printed = try await annals.output(
        of: Self.program.replacing("calls.py", with: "stopping.py"), [RunningAnnals.binary] + ports)
      #expect(
        printed == "health SERVING NOT_SERVING UNAVAILABLE\nwatch UNAVAILABLE\nreflection UNAVAILABLE\n", "\(printed)")
    }
  }
}
