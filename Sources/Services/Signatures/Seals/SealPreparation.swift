import Glibc
import JSON
import PDF
import Reactor

/// Prepares a PDF in a process of its own, with little memory and time: it is a stranger's, and one may be built so that its reader
/// needs gigabytes, or ends.
public enum SealPreparation {
  /// The first argument of such a process.
  public static let command = "prepare-seal"

  private static let memory: rlim_t = 2 << 30
  private static let seconds: rlim_t = 30
  private static let patience = Duration.seconds(90)

  /// - Throws: `DocumentSealer.Unsealable`, also if the process does not come to an end.
  static func prepare(
    _ original: [UInt8], _ note: SealablePDF.Note, room: Int, on reactor: Reactor
  ) async throws -> SealablePDF {
    let files = [nameless(), nameless()]
    defer { for file in files { close(file) } }
    // Not as arguments: every user of the machine sees those.
    let head: JSONValue = [
      "room": .integer(Int64(room)), "field": .string(note.field), "signer": .string(note.signer),
      "reason": .string(note.reason), "date": .string(note.date),
    ]
    guard files.allSatisfy({ $0 >= 0 }), write(head.bytes + [0x0A] + original, to: files[0]),
      lseek(files[0], 0, SEEK_SET) == 0
    else {
      throw DocumentSealer.OutOfMemory()
    }
    let child = try await ChildProcess.start(
      "/proc/self/exe", [command],
      environment: getenv("LD_LIBRARY_PATH").map { ["LD_LIBRARY_PATH": String(cString: $0)] } ?? [:],
      input: files[0], output: files[1], on: reactor)
    let limit = Task(executorPreference: reactor) {
      try await reactor.sleep(for: patience)
      await child.signal(SIGKILL)
      return true
    }
    let end = await child.wait()
    limit.cancel()
    let wasTooLong = (try? await limit.value) == true
    guard lseek(files[1], 0, SEEK_SET) == 0, let printed = read(files[1]) else { throw DocumentSealer.OutOfMemory() }
    switch end {
    case .exited(status: 0):
      guard let pdf = SealablePDF(original, update: printed) else { break }
      return pdf
    case .exited(status: 65):
      throw DocumentSealer.Unsealable(description: String(decoding: printed.prefix(400), as: UTF8.self))
    // It has ended by the PDF.
    case .signalled(SIGXCPU), .signalled(SIGSEGV), .signalled(SIGBUS), .signalled(SIGABRT), .signalled(SIGILL),
      .signalled(SIGTRAP), .signalled(SIGFPE):
      throw tooMuch
    case .signalled(SIGKILL) where wasTooLong: throw tooMuch
    default: break
    }
    // Ended by the machine or by somebody else: another time it may go well.
    throw DocumentSealer.OutOfMemory()
  }

  private static var tooMuch: DocumentSealer.Unsealable {
    DocumentSealer.Unsealable(
      description:
        "the PDF cannot be read with \(memory >> 30) GiB of memory in \(seconds) s: it is damaged, or very large inside"
    )
  }

  /// The process: reads the PDF from its standard input, and prints the update, or why there is none.
  ///
  /// - Returns: The status with which it ends.
  public static func run() -> Int32 {
    for (resource, value) in [(RLIMIT_AS, memory), (RLIMIT_CPU, seconds), (RLIMIT_CORE, 0)] {
      // At its soft limit of time it gets a signal of its own; at the hard one it would look killed by somebody.
      var limit = rlimit(rlim_cur: value, rlim_max: resource == RLIMIT_CPU ? value + 10 : value)
      setrlimit(__rlimit_resource_t(resource.rawValue), &limit)
    }
    guard let input = read(STDIN_FILENO), let end = input.firstIndex(of: 0x0A),
      let head = try? JSONValue(parsing: Array(input[..<end])), let room = head["room"]?.integer
    else { return 64 }
    func text(_ name: String) -> String { head[name]?.string ?? "" }
    let original = Array(input[(end + 1)...])
    let note = SealablePDF.Note(
      field: text("field"), signer: text("signer"), reason: text("reason"), date: text("date"))
    do throws(PDFProblem) {
      return write(try SealablePDF(original, note, room: Int(room)).update, to: STDOUT_FILENO) ? 0 : 74
    } catch {
      _ = write(Array(error.description.utf8), to: STDOUT_FILENO)
      return 65
    }
  }

  /// A file of this process alone, gone with its descriptor.
  private static func nameless() -> Int32 {
    var path = Array("\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/annals-XXXXXX".utf8CString)
    let file = mkstemp(&path)
    guard file >= 0 else { return -1 }
    unlink(path)
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    return file
  }

  private static func write(_ bytes: [UInt8], to file: Int32) -> Bool {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress! + offset, $0.count - offset) }
      guard count > 0 else { return false }
      offset += count
    }
    return true
  }

  private static func read(_ file: Int32) -> [UInt8]? {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Glibc.read(file, &buffer, buffer.count)
      guard count >= 0 else { return nil }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }
}
