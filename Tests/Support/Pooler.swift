import Glibc
public import Reactor

/// Runs a PgBouncer in transaction mode in front of the stack's Postgres, and lends its port.
public func withPgBouncer(on reactor: Reactor, _ body: (Int) async throws -> Void) async throws {
  // postgresql://user@host:port/database
  let address = try Stack.postgres.split(separator: "/")[1]
  let parts = address.split(separator: "@")
  let (user, host) = (parts[0].split(separator: ":")[0], parts[1].split(separator: ":"))
  let port = Stack.uniquePort()
  let path = ".stack/test/pgbouncer-\(port).ini"
  let text = """
    [databases]
    * = host=\(host[0]) port=\(host[1]) user=\(user)
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = \(port)
    unix_socket_dir =
    auth_type = any
    pool_mode = transaction
    default_pool_size = 3
    """
  guard let file = fopen(path, "w") else {
    throw PoolerError(description: "\(path): \(String(cString: strerror(errno)))")
  }
  fputs(text, file)
  fclose(file)
  defer { unlink(path) }
  // It refuses to run as root.
  let arguments = (getuid() == 0 ? ["-u", "nobody"] : []) + [path]
  let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
  defer { close(null) }
  let child = try await ChildProcess.start(
    "pgbouncer", arguments, environment: ["PATH": "/usr/sbin:/usr/bin"], output: null, on: reactor)
  let result: Result<Void, any Error>
  do {
    try await eventually("PgBouncer listens", on: reactor) { isListening(port) }
    result = .success(try await body(port))
  } catch { result = .failure(error) }
  await child.signal(SIGINT)
  _ = await child.wait()
  try result.get()
}

struct PoolerError: Error, CustomStringConvertible { let description: String }

private func isListening(_ port: Int) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  } == 0
}
