import Glibc
import Synchronization

/// Where the servers of the tests are. A missing one fails the test that asks: nothing is skipped.
public enum Stack {
  public struct Missing: Error, CustomStringConvertible {
    let variable: String
    public var description: String {
      "\(variable) is not set: run the tests by `make test`, or eval \"$(scripts/stack env test)\" after `scripts/stack up test`"
    }
  }

  public static func address(_ variable: String) throws -> String {
    guard let value = getenv(variable) else { throw Missing(variable: variable) }
    return String(cString: value)
  }

  /// Whether Kafka, Elasticsearch and the object store are real ones: what a stand-in does not do cannot be asked of it.
  public static var hasEngines: Bool { (try? address("ANNALS_ENGINES"))?.isEmpty == false }

  public static var postgres: String { get throws { try address("ANNALS_POSTGRES_URL") } }
  /// PgBouncer before that Postgres; nil: Postgres was given, and has none.
  public static var pooler: String? { try? address("POOLER_URL") }
  public static var redis: String { get throws { try address("ANNALS_REDIS_URL") } }
  public static var kafka: String { get throws { try address("ANNALS_KAFKA_BROKERS") } }
  public static var elasticsearch: String { get throws { try address("ANNALS_ELASTICSEARCH_URL") } }
  public static var s3: String { get throws { try address("ANNALS_S3_ENDPOINT") } }

  /// Where files of tests are, each under a name of its own.
  public static let temporaryFolder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"

  private static let ports = Atomic<Int>(0)

  /// A port that no other test of this run gets.
  public static func uniquePort() -> Int { 20_000 + ports.add(1, ordering: .relaxed).oldValue % 5_000 }

  /// A name that no other test has.
  public static func uniqueName(_ prefix: String) -> String {
    "\(prefix)_\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
  }
}
