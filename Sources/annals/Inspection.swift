import CommandLine
import Configuration
import Elasticsearch
import EventStore
import Glibc
import HTTPClient
import JSON
import Kafka
import Postgres
import Reactor
import Redis
import Relay
import S3
import Services

extension Commands {
  /// Says in words how the relay stands, and why it does not move: works wherever the relay runs, and when it does not.
  @Sendable
  static func relayStatus(_ arguments: Arguments) async throws {
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("status")
    let options = try runtime.relay
    let isWell = try await reactor.run {
      let problem = await runtime.relayProblem(on: reactor)
      return try await PostgresSession.with(options.postgres, on: reactor, logger: runtime.logger) { session in
        var isWell = problem == nil
        let parts = try await TableProgress.read(options.slot, session)
        if let state = try await SlotState.read(options.slot, session) {
          print(
            "slot \(options.slot): \(state.isActive ? "a relay streams (pid \(state.activePID))" : "no relay is connected")"
          )
          print("confirmed: \(state.confirmed.map { "\($0)" } ?? "nothing yet"), \(state.lag) bytes behind")
          print("WAL kept for it: \(state.retained) bytes (\(state.walStatus))")
          if state.walStatus == "lost" {
            print("the server has removed WAL that the slot needed: the relay makes it anew")
          }
          isWell = isWell && state.isActive
        } else if parts.isEmpty {
          print("slot \(options.slot): not there. The relay makes it when it first runs: annals relay")
          isWell = false
        }
        for part in parts {
          print(
            "table, part \(part.shard) of \(part.shards): up to \(part.position), \(part.waiting) rows behind, "
              + "looked at \(part.age) s ago")
        }
        if let rows = try await session.execute(
          "select sum(tuples_processed) from pg_stat_progress_copy where datname = current_database() and command = 'COPY TO'"
        ).first?.first.flatMap({ $0 }) {
          print("a table is being read: \(rows) rows of it so far")
          isWell = problem == nil
        }
        if let problem { print("the relay on port \(runtime.configuration[Settings.relayPort]): \(problem)") }
        let parked = try await ParkedMessages(session).listIfThere()
        if !parked.isEmpty {
          print(
            "\(parked.count) keys are parked, \(parked.reduce(0) { $0 + $1.count }) messages: annals relay parked list")
        }
        if let holder = try await LongTransaction.oldest(atLeast: 30, session) {
          print(
            "a transaction has been open for \(holder.seconds) s (pid \(holder.processID), \(holder.application)): a relay "
              + "that reads the table waits behind it, and the server keeps WAL for it: \(holder.query)")
        }
        return isWell
      }
    }
    print(isWell ? "all is well" : "the relay does not make progress")
    if !isWell { leave(1) }
  }

  static let recording = Option<String>(argument: "file", "The recording.")

  @Sendable
  static func relayDecode(_ arguments: Arguments) async throws {
    let path = arguments[recording]
    guard let text = readFile(path) else {
      throw UsageError("\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    for (number, line) in text.split(separator: "\n").enumerated() {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "|" || $0 == "\t" })
      guard var digits = fields.last, fields.count >= 3 else {
        throw UsageError("\(path), line \(number + 1): LSN, transaction and bytes in hexadecimal are expected")
      }
      if digits.hasPrefix("\\x") { digits = digits.dropFirst(2) }
      let characters = Array(digits.utf8)
      let bytes = stride(from: 0, to: characters.count - 1, by: 2).compactMap { index in
        UInt8(String(decoding: characters[index...index + 1], as: UTF8.self), radix: 16)
      }
      guard bytes.count * 2 == characters.count else {
        throw UsageError("\(path), line \(number + 1): “\(digits.prefix(16))…” is not hexadecimal")
      }
      print(try PgOutputInspection.line(bytes))
    }
  }

  static let doctor = Command(
    "doctor", "Check every dependency and setting, and say what to do.",
    examples: [("annals doctor", "ends with 0 where all is well")]
  ) { arguments in
    let runtime = try Runtime(arguments)
    let reactor = runtime.reactor("doctor")
    let findings = await runtime.examine(on: reactor)
    for finding in findings { print(finding) }
    let problems = findings.count { !$0.isWell }
    print(problems == 0 ? "all is well" : "\(problems) of \(findings.count) checks found a problem")
    if problems > 0 { leave(1) }
  }
}

extension Runtime {
  /// What the relay on this machine says of itself; nil where it is well.
  fileprivate func relayProblem(on reactor: Reactor) async -> String? {
    let client = http(on: reactor)
    let url = "http://\(configuration[Settings.httpAddress]):\(configuration[Settings.relayPort])/readyz"
    let problem: String?
    do {
      let answer = try await client.send(HTTPRequest(.get, url, timeout: .seconds(2)))
      problem = try JSONValue(parsing: answer.body)["failing"]?.array?.first?["problem"]?.string
    } catch { problem = "does not answer; it runs elsewhere, or not at all" }
    await client.close()
    return problem
  }

  /// Looks at everything this installation depends on.
  func examine(on reactor: Reactor) async -> [Finding] {
    await reactor.run {
      var findings = await PostgresExamination(
        postgres, slot: configuration[Settings.relaySlot], on: reactor, logger: logger
      ).run()
      let topic = (try? topicTemplate.topic(for: "document")) ?? ""
      findings.append(
        await Finding.about("Kafka") {
          let cluster = try await KafkaAdmin(kafka, timeout: .seconds(5)).describe()
          let partitions = cluster.topics[topic].map { "\($0) partitions" } ?? "not there yet, the relay makes it"
          return "brokers \(cluster.brokers.joined(separator: ", ")); topic \(topic): \(partitions)"
        })
      findings.append(
        await Finding.about("Redis") {
          let redis = try redis(on: reactor)
          do { try await redis.start() } catch {
            await redis.close()
            throw error
          }
          let info = try await redis.command(RedisCommand("INFO", "server")).text ?? ""
          await redis.close()
          let version = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("redis_version:") }
          return "version \(version?.dropFirst("redis_version:".count) ?? "unknown")"
        })
      let client = http(on: reactor)
      findings.append(
        await Finding.about("Elasticsearch") {
          let elasticsearch = elasticsearch(over: client)
          let (_, health) = try await elasticsearch.send(.get, "/_cluster/health", operation: "asking for its health")
          return "\(elasticsearch.endpoint): \(health["status"]?.string ?? "unknown")"
        })
      findings.append(
        await Finding.about("Object store") {
          let s3 = s3(over: client)
          let exists = try await s3.bucketExists()
          return "\(s3.endpoint), bucket \(configuration[Settings.s3Bucket]): "
            + (exists ? "there" : "not there yet, serve makes it")
        })
      await client.close()
      return findings
    }
  }
}
