import CLibpq
import Glibc

/// The servers that a connection string names, in the order in which they are tried.
///
/// libpq can try several hosts itself, but with one deadline for all of them, and it looks the later names up on the
/// caller's thread. So each attempt gets one host, its looked-up address and a deadline of its own.
struct ConnectionPlan {
  struct Target {
    /// nil: libpq's default, such as a Unix socket.
    let host: String?
    /// Given in the connection string: no name is looked up.
    let address: String?
    let port: String?

    /// True if the host must be looked up.
    var needsLookup: Bool {
      address == nil && host.map { !$0.isEmpty && !$0.hasPrefix("/") && !$0.hasPrefix("@") } ?? false
    }
  }

  let targets: [Target]
  /// Values of `target_session_attrs`, one for each pass over the targets.
  let passes: [String?]

  /// - Throws: `PostgresError.connecting` without libpq's own words: they may quote a password.
  init(_ url: String) throws(PostgresError) {
    guard let parsed = PQconninfoParse(url, nil) else {
      throw .connecting(
        host: "?",
        reason:
          "the connection string of Postgres is malformed; it looks like postgresql://user:password@host:5432/database, with %40 for @"
      )
    }
    defer { PQconninfoFree(parsed) }
    var values: [String: String] = [:]
    var next = parsed
    while let keyword = next.pointee.keyword {
      if let value = next.pointee.val { values[String(cString: keyword)] = String(cString: value) }
      next += 1
    }
    // libpq's own variables stand in for what the string does not say.
    for (name, variable) in [
      ("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"), ("port", "PGPORT"),
      ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ] where values[name] == nil {
      values[name] = getenv(variable).map { String(cString: $0) }
    }
    func list(_ name: String) -> [String] {
      values[name].map { $0.split(separator: ",", omittingEmptySubsequences: false).map { String($0) } } ?? []
    }
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"))
    let count = max(hosts.count, addresses.count, 1)
    // A password with an “@” that is not encoded ends up in the host.
    guard !hosts.contains(where: { $0.dropFirst().contains("@") && !$0.hasPrefix("/") }) else {
      throw .connecting(host: "?", reason: "the connection string of Postgres has an “@” in its password: write %40")
    }
    guard addresses.isEmpty || addresses.count == count && !addresses.contains(""),
      ports.count <= 1 || ports.count == count
    else {
      throw .connecting(
        host: "?", reason: "the connection string of Postgres has not as many values of hostaddr or port as hosts")
    }
    targets = (0..<count).map { index in
      Target(
        host: index < hosts.count ? hosts[index] : nil,
        address: index < addresses.count && !addresses[index].isEmpty ? addresses[index] : nil,
        // libpq would take an empty value for none, and then its own list.
        port: ports.isEmpty ? nil : Self.port(ports.count == 1 ? ports[0] : ports[index]))
    }
    let wanted = values["target_session_attrs"]
    passes = wanted == "prefer-standby" && count > 1 ? ["standby", "any"] : [wanted]
  }

  private static func port(_ text: String) -> String { text.isEmpty ? "5432" : text }
}
