import Files
import Glibc
public import HTTPClient
import JSON

/// Loads files as documents through the API. The path gives the title; the server finds the content type.
public struct CorpusLoader: Sendable {
  public struct Report: Sendable {
    public internal(set) var loaded = 0
    public internal(set) var bytes = 0
    public internal(set) var failures: [String] = []
    public internal(set) var seconds = 0.0
  }

  private let client: HTTPClient
  private let url: String

  static let maximumFile = 8 << 20
  static let concurrency = 8

  public init(_ client: HTTPClient, url: String) { (self.client, self.url) = (client, url) }

  public struct DirectoryError: Error, CustomStringConvertible { public let description: String }

  /// Loads regular files below a folder, a few at a time, in the order of their paths.
  ///
  /// - Parameters:
  ///   - name: Only files of this name; nil: all.
  ///   - limit: The most files that are loaded.
  ///   - progress: Called after each file with the number of files done, and of all.
  public func load(
    directory: String, named name: String? = nil, limit: Int, progress: (Int, Int) -> Void
  ) async throws -> Report {
    let start = ContinuousClock.now
    let paths = Array(
      try Self.files(below: directory).filter { path in name.map { path.hasSuffix("/\($0)") } ?? true }.prefix(limit))
    var report = Report()
    try await withThrowingTaskGroup(of: (Int, String?).self) { group in
      var rest = paths[...]
      func add() {
        guard let path = rest.popFirst() else { return }
        group.addTask { await send(path, below: directory) }
      }
      for _ in 0..<Self.concurrency { add() }
      while let (bytes, failure) = try await group.next() {
        if let failure { report.failures.append(failure) } else { report.loaded += 1 }
        report.bytes += bytes
        progress(report.loaded + report.failures.count, paths.count)
        add()
      }
    }
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    report.seconds = (Double(seconds) * 10 + Double(attoseconds / 100_000_000_000_000_000)) / 10
    return report
  }

  private func send(_ path: String, below directory: String) async -> (Int, String?) {
    let content: [UInt8]
    do { content = try File.read(path, limit: Self.maximumFile) } catch { return (0, "\(error)") }
    guard !content.isEmpty else { return (0, "\(path) is empty") }
    let title = String(path.dropFirst(directory.count)).split(separator: "/").joined(separator: "/")
    let boundary = "annals-\(UInt64.random(in: 0...UInt64.max))"
    var body: [UInt8] = []
    func line(_ text: String) { body += Array("\(text)\r\n".utf8) }
    line("--\(boundary)")
    line("Content-Disposition: form-data; name=\"title\"\r\n")
    line(title.isEmpty ? path : title)
    line("--\(boundary)")
    line("Content-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n")
    body += content
    line("\r\n--\(boundary)--")
    do {
      let response = try await client.send(
        HTTPRequest(
          .post, "\(url)/v1/documents",
          headers: [("Content-Type", "multipart/form-data; boundary=\(boundary)"), ("X-Actor", "loader")], body: body,
          timeout: .seconds(30)))
      guard response.status == 201 else {
        return (0, "\(path): \(response.status) \(String(decoding: response.body.prefix(300), as: UTF8.self))")
      }
      return (content.count, nil)
    } catch { return (0, "\(path): \(error)") }
  }

  /// Regular files, links to them included, in the order of their names.
  private static func files(below directory: String) throws(DirectoryError) -> [String] {
    guard let handle = opendir(directory) else {
      throw DirectoryError(description: "\(directory): \(String(cString: strerror(errno)))")
    }
    defer { closedir(handle) }
    var found: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard !name.hasPrefix(".") else { continue }
      let path = "\(directory)/\(name)"
      var status = stat()
      guard stat(path, &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFREG: if status.st_size > 0 { found.append(path) }
      case S_IFDIR:
        var own = stat()
        // Links to folders are skipped: they may form a loop.
        if lstat(path, &own) == 0, own.st_mode & S_IFMT == S_IFDIR { found += try files(below: path) }
      default: break
      }
    }
    return found.sorted()
  }
}
