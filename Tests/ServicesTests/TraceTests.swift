import Glibc
import Reactor
import Support
import Testing
import Tracing

@Suite("Traces", .workLimit(minutes: 5)) struct TraceTests {
  @Test(
    "follow a write to its last reader, in every process, and reach a collector",
    arguments: [Processes.together, .apart])
  func followed(_ processes: Processes) async throws {
    let (port, name) = (Stack.uniquePort(), Stack.uniqueName("otlp"))
    let path = "\(Stack.temporaryFolder)/\(name).jsonl"
    let environment = [
      "ANNALS_TRACING_OTLP_URL": "http://127.0.0.1:\(port)", "ANNALS_TRACING_SAMPLE": "0",
      "ANNALS_WEBHOOKS_SECRET": "a secret of these tests, of 32 bytes or more", "ANNALS_WEBHOOKS_ALLOW_PRIVATE": "true",
    ]
    try await withAnnals(environment, processes) { annals in
      let output = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
      defer {
        close(output)
        unlink(path)
      }
      let collector = try await ChildProcess.start(
        ".stack/tools/bin/python", ["Tests/Rig/otlp.py", "\(port)", "503"],
        environment: ["PATH": annals.environment["PATH"] ?? ""], output: output, on: annals.reactor)
      let printed: Result<String, any Error>
      do {
        printed = .success(
          try await annals.output(
            of: ".stack/tools/bin/python",
            [
              "Tests/Traces/traces.py", annals.url, annals.url(for: "/documents/x/events"), path, try Stack.kafka,
              annals.topic, RunningAnnals.binary,
            ]))
      } catch { printed = .failure(error) }
      await collector.signal(SIGTERM)
      _ = await collector.wait()
      let text = try printed.get()
      #expect(text.hasSuffix("3 of 3 cases hold\n"), "\(text)")
    }
  }

  @Test("read and write the header as W3C has it")
  func header() throws {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let context = try #require(TraceContext(traceparent: text))
    #expect(context.traceparent == text && context.isSampled && context.trace == "4bf92f3577b34da6a3ce929d0e0e4736")
    #expect(context.child().high == context.high && context.child().span != context.span)
    // A later version may have more, and only there.
    #expect(TraceContext(traceparent: "01" + text.dropFirst(2) + "-more")?.trace == context.trace)
    #expect(TraceContext(traceparent: text + "-more") == nil)
    #expect(TraceContext(traceparent: "02" + text.dropFirst(2) + "x") == nil)
  }
}
