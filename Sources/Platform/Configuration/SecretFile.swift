import Dispatch
import Files
import Glibc
import Synchronization

/// A secret that a file has. The file is looked at again each second, on a thread of its own. What cannot be read, is empty or is no such value leaves the last
/// one as it is: secrets are often replaced while programs run, and not always at once.
final class SecretFile: Sendable {
  private static let pause = DispatchTimeInterval.seconds(1)
  private static let limit = 1 << 16
  private static let queue = DispatchQueue(label: "annals.secrets")

  private struct State {
    var value: String
    var stamp: Stamp?
    var problem: String?
  }
  private let path: String
  private let check: @Sendable (String) -> String?
  private let state: Mutex<State>
  // unchecked: it is set up once, and cancelled at the end.
  nonisolated(unsafe) private let timer: any DispatchSourceTimer

  private struct Stamp: Equatable {
    let (file, size, seconds, nanoseconds): (UInt, Int, Int, Int)
  }

  init(path: String, check: @escaping @Sendable (String) -> String?) throws(SecretProblem) {
    (self.path, self.check) = (path, check)
    let stamp = Self.stamp(path)
    let value = try Self.read(path, check)
    state = Mutex(State(value: value, stamp: stamp))
    timer = DispatchSource.makeTimerSource(queue: Self.queue)
    timer.schedule(deadline: .now() + Self.pause, repeating: Self.pause)
    timer.setEventHandler { [weak self] in self?.look() }
    timer.resume()
  }

  deinit { timer.cancel() }

  /// The fault of a file, in words without its path and its content.
  struct SecretProblem: Error { let text: String }

  var value: String { state.withLock { $0.value } }
  /// Why the file that is there now is not taken; nil: it is.
  var problem: String? { state.withLock { $0.problem } }

  private func look() {
    let stamp = Self.stamp(path)
    guard stamp != state.withLock({ $0.stamp }) || problem != nil else { return }
    do throws(SecretProblem) {
      let value = try Self.read(path, check)
      state.withLock { $0 = State(value: value, stamp: stamp) }
    } catch { state.withLock { $0.problem = error.text } }
  }

  private static func read(_ path: String, _ check: (String) -> String?) throws(SecretProblem) -> String {
    var info = stat()
    // Others would block whoever opens them.
    if stat(path, &info) == 0, info.st_mode & S_IFMT != S_IFREG {
      throw SecretProblem(text: "a file: it is of another kind")
    }
    let bytes: [UInt8]
    do { bytes = try File.read(path, limit: limit) } catch {
      throw SecretProblem(text: "a file that can be read: \(error.reason)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw SecretProblem(text: "a file with a text in UTF-8 (write bytes in base64 or hexadecimal)")
    }
    // Editors and secret stores end files with a newline.
    let value = String(text.reversed().drop { $0.isNewline }.reversed())
    guard !value.isEmpty else { throw SecretProblem(text: "a file that is not empty") }
    if let expected = check(value) { throw SecretProblem(text: "a file whose content is \(expected)") }
    return value
  }

  private static func stamp(_ path: String) -> Stamp? {
    var info = stat()
    guard stat(path, &info) == 0 else { return nil }
    return Stamp(
      file: UInt(info.st_ino), size: Int(info.st_size), seconds: Int(info.st_mtim.tv_sec),
      nanoseconds: Int(info.st_mtim.tv_nsec))
  }
}
