// swift-tools-version: 6.2
import PackageDescription

/// The one list of settings for every target. Warnings are errors where `CI` is set.
let strict: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  ] + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// A platform target: one folder below Sources/Platform, over at most one C library whose module is nested in it.
func platform(
  _ name: String, over cModule: String? = nil, excluding others: [String] = [], _ dependencies: [Target.Dependency] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies + (cModule.map { [.target(name: $0)] } ?? []),
    path: "Sources/Platform/\(name)", exclude: (cModule.map { [$0] } ?? []) + others, swiftSettings: strict)
}

func cLibrary(_ name: String, in target: String, pkgConfig: String? = nil, apt package: String) -> Target {
  .systemLibrary(
    name: name, path: "Sources/Platform/\(target)/\(name)", pkgConfig: pkgConfig, providers: [.apt([package])])
}

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", exclude: exclude,
    swiftSettings: strict)
}

/// Built by Tests/Fuzz/fuzz.py alone, with the flags that it needs: libFuzzer brings the main function.
func fuzzer(_ name: String, _ source: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies, path: "Tests/Fuzz", sources: [source],
    swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])],
    linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address"])])
}

let fuzzers: [Target] =
  Context.environment["ANNALS_FUZZ"] == nil
  ? []
  : [
    fuzzer("relay-fuzz", "RelayFuzz.swift", ["Relay", "Connector", "Postgres", "Logging", "JSON", "Time"]),
    fuzzer("http-fuzz", "HTTPFuzz.swift", ["HTTPServer", "JSON"]),
  ]

let package = Package(
  name: "annals",
  products: [.executable(name: "annals", targets: ["annals"])],
  targets: [
    cLibrary("CUV", in: "Reactor", pkgConfig: "libuv", apt: "libuv1-dev"),
    cLibrary("CLibpq", in: "Postgres", pkgConfig: "libpq", apt: "libpq-dev"),
    cLibrary("CRdkafka", in: "Kafka", pkgConfig: "rdkafka", apt: "librdkafka-dev"),
    cLibrary("CCurl", in: "HTTPClient", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev"),
    cLibrary("CHiredis", in: "Redis", apt: "libhiredis-dev"),
    cLibrary("CMicrohttpd", in: "HTTPServer", pkgConfig: "libmicrohttpd", apt: "libmicrohttpd-dev"),
    cLibrary("CCrypto", in: "Crypto", pkgConfig: "libcrypto", apt: "libssl-dev"),
    cLibrary("CQPDF", in: "PDF", pkgConfig: "libqpdf", apt: "libqpdf-dev"),
    cLibrary("CWslay", in: "WebSocket", apt: "libwslay-dev"),
    cLibrary("CGRPC", in: "GRPC", apt: "libgrpc-dev"),
    cLibrary("CYaml", in: "Configuration", pkgConfig: "yaml-0.1", apt: "libyaml-dev"),
    cLibrary("CMagic", in: "MediaType", apt: "libmagic-dev"),

    platform("Time"),
    platform("Identifiers"),
    platform("Spelling"),
    platform("Files"),
    platform("PercentCoding"),
    platform("JSON", ["Spelling"]),
    platform("Logging", ["JSON", "Time"]),
    platform("Metrics"),
    platform("CommandLine", ["Spelling"]),
    platform("Configuration", over: "CYaml", ["CommandLine", "Files", "Spelling"]),
    platform("Crypto", over: "CCrypto"),
    platform("Base64"),
    platform("PDF", over: "CQPDF"),
    platform("JWT", ["Base64", "Crypto", "JSON"]),
    platform("MediaType", over: "CMagic"),
    platform("Reactor", over: "CUV", ["Logging", "Metrics"]),
    platform("Lifecycle", ["Reactor", "Logging"]),
    platform("Resilience", ["Reactor", "Logging", "Metrics"]),
    platform("Postgres", over: "CLibpq", ["Reactor", "Resilience", "Logging", "Metrics", "Identifiers", "Time"]),
    platform("Kafka", over: "CRdkafka", ["Reactor", "Logging"]),
    platform("Redis", over: "CHiredis", ["Reactor", "Resilience", "Logging", "Metrics", "PercentCoding"]),
    platform("HTTPClient", over: "CCurl", ["Reactor", "Metrics"]),
    platform("HTTPServer", over: "CMicrohttpd", ["Reactor", "Logging", "Metrics", "JSON", "PercentCoding", "Time"]),
    platform("WebSocket", over: "CWslay", ["Reactor", "Base64", "Crypto"]),
    platform("Protobuf", ["Base64"]),
    platform("Tracing", ["Protobuf", "Metrics", "Time"]),
    platform("GRPC", over: "CGRPC", excluding: ["Protos"], ["Protobuf", "Reactor", "Logging", "Metrics"]),
    platform("S3", ["HTTPClient", "Resilience", "Crypto", "Time"]),

    platform("Elasticsearch", ["HTTPClient", "Resilience", "JSON", "Base64", "PercentCoding"]),

    .target(
      name: "Schema", dependencies: ["Crypto"], path: "sql", exclude: ["migrations", "README.md", "schema.txt"],
      sources: ["Schema.swift"],
      resources: ["tables", "functions", "queries", "roles"].map { .embedInCode($0) }, swiftSettings: strict),
    module("Events", ["JSON", "Crypto", "Identifiers", "Time"]),
    module(
      "EventStore",
      ["Schema", "Events", "Postgres", "Reactor", "Logging", "Metrics", "Tracing", "JSON", "Identifiers", "Time"]),
    module("Domain", ["Events", "JSON", "Identifiers", "Time"]),
    module(
      "Relay",
      [
        "Schema", "Events", "Postgres", "Kafka", "Reactor", "Logging", "Metrics", "Tracing", "JSON", "Crypto", "Time",
      ]),
    module("Connector", ["Schema", "Relay", "Postgres", "Logging", "JSON", "Base64", "Spelling", "Time"]),
    module(
      "Projections",
      [
        "Schema", "Events", "Domain", "EventStore", "Postgres", "Kafka", "Redis", "Elasticsearch", "HTTPClient", "S3",
        "Reactor", "Crypto",
        "Logging", "Metrics", "Tracing", "JSON", "Identifiers", "Time",
      ]),
    .target(
      name: "Services",
      dependencies: [
        "Events", "EventStore", "Domain", "Relay", "Connector", "Projections", "HTTPServer", "WebSocket", "GRPC",
        "Protobuf", "PDF",
        "HTTPClient",
        "Elasticsearch", "Redis",
        "S3", "Kafka", "Postgres", "MediaType", "Lifecycle", "Reactor", "Resilience", "Configuration", "CommandLine",
        "Files",
        "Logging", "Metrics", "Tracing", "JSON", "Crypto", "JWT", "Base64", "Spelling", "Identifiers", "Time",
      ], path: "Sources/Services", exclude: ["RPC/Protos"], resources: [.embedInCode("Operations/docs.html")],
      swiftSettings: strict),
    .executableTarget(
      name: "annals",
      dependencies: [
        "Services", "Relay", "Projections", "EventStore", "CommandLine", "Configuration", "Postgres", "HTTPClient",
        "HTTPServer", "Lifecycle", "Reactor", "Files", "Logging", "Metrics", "JSON",
      ], path: "Sources/annals", swiftSettings: strict),

    // Emits Swift for .proto files; see “make protos”.
    .executableTarget(
      name: "protoc-gen-annals", dependencies: ["Protobuf"], path: "Sources/protoc-gen-annals", swiftSettings: strict),

    .executableTarget(
      name: "example-account",
      dependencies: ["EventStore", "Events", "Postgres", "Reactor", "JSON", "Logging", "Metrics"],
      path: "Examples/Account", swiftSettings: strict),
    .executableTarget(
      name: "bench-log",
      dependencies: [
        "EventStore", "Events", "Postgres", "Reactor", "Identifiers", "JSON", "Logging", "Metrics", "Time",
      ], path: "Benchmarks/Log", swiftSettings: strict),

    .target(
      name: "Support",
      dependencies: [
        "Events", "EventStore", "Relay", "Kafka", "Postgres", "HTTPClient", "Reactor", "Resilience", "Files", "Logging",
        "Metrics",
        "JSON",
      ], path: "Tests/Support", swiftSettings: strict),
    tests("JSON", ["JSON"]),
    tests("JWT", ["JWT", "JSON"]),
    tests("Basics", ["Time", "Identifiers", "Base64", "CommandLine", "Configuration", "Logging", "Metrics"]),
    tests("Support", ["Support"]),
    tests("Resilience", ["Support", "Resilience", "Metrics"]),
    tests("Reactor", ["Support", "Reactor", "Metrics"]),
    tests("Postgres", ["Support", "Postgres", "Reactor", "Identifiers", "Time"]),
    tests(
      "EventStore",
      ["Support", "Events", "EventStore", "Schema", "Postgres", "Reactor", "Metrics", "Identifiers", "JSON", "Time"],
      exclude: ["entry.py"]),
    tests("Domain", ["Domain", "Events", "Identifiers", "JSON", "Time"], exclude: ["Fixtures"]),
    tests(
      "Relay",
      ["Support", "Relay", "Events", "EventStore", "Postgres", "Kafka", "Reactor", "Identifiers", "JSON", "Time"]),
    tests(
      "Connector",
      [
        "Support", "Connector", "Relay", "EventStore", "Postgres", "Kafka", "Reactor", "Identifiers", "JSON", "Logging",
        "Metrics",
      ]),
    tests(
      "GRPC", ["GRPC", "Support", "Protobuf", "Files"], exclude: ["Protos", "peer.py", "calls.py", "stopping.py"]),
    tests("Kafka", ["Support", "Kafka", "Reactor"]),
    tests("Redis", ["Support", "Redis", "Reactor", "Metrics"]),
    tests("HTTP", ["Support", "HTTPServer", "HTTPClient", "S3", "Crypto", "Reactor", "Metrics", "Time"]),
    tests(
      "Projections",
      [
        "Support", "Projections", "Events", "Redis", "Elasticsearch", "HTTPClient", "S3", "Reactor",
        "Metrics",
        "JSON", "Identifiers", "Kafka", "EventStore", "Postgres", "Domain", "Time",
      ]),
    tests(
      "EndToEnd",
      [
        "Support", "Services", "EventStore", "S3", "HTTPClient", "Reactor", "JSON", "Crypto", "Identifiers", "Time",
        "Postgres", "Metrics", "Files",
      ]),
    tests("Clients", ["Support", "HTTPClient", "Identifiers", "JSON", "Kafka", "Postgres"]),
    tests(
      "Services",
      [
        "Support", "annals", "Services", "Domain", "EventStore", "Events", "HTTPServer", "HTTPClient", "JWT",
        "Lifecycle",
        "Configuration",
        "Postgres", "Redis", "Reactor", "Logging", "Metrics", "Tracing", "JSON", "Base64", "Identifiers", "Time",
      ]),
  ] + fuzzers)
