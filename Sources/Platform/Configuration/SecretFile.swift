import Files
import Glibc
import Synchronization

/// A secret that a file has. It is read again when the file changes; what cannot be read, or is no such value, leaves the last one as it is:
/// secrets are often replaced while programs run, and not always at once.
final class SecretFile: Sendable {
  /// How often the file is looked at, at most.
  private static let pause = Duration.seconds(1)
  private static let limit = 1 << 16

  private struct State {
    var value: String
    var stamp: Stamp?
    var looked: ContinuousClock.Instant
  }
  private let path: String
  private let check: @Sendable (String) -> String?
  private let state: Mutex<State>

  private struct Stamp: Equatable {
    let (file, size, seconds, nanoseconds): (UInt, Int, Int, Int)
  }

  /// - Throws: A text that says what is wrong, without the value.
  init(path: String, check: @escaping @Sendable (String) -> String?) throws(SecretProblem) {
    (self.path, self.check) = (path, check)
    let stamp = Self.stamp(path)
    let value = try Self.read(path, check)
    state = Mutex(State(value: value, stamp: stamp, looked: .now))
  }

  struct SecretProblem: Error { let text: String }

  var value: String {
    state.withLock { state in
      let now = ContinuousClock.now
      guard now - state.looked >= Self.pause else { return state.value }
      state.looked = now
      let stamp = Self.stamp(path)
      if stamp != state.stamp, let value = try? Self.read(path, check) { (state.value, state.stamp) = (value, stamp) }
      return state.value
    }
  }

  private static func read(_ path: String, _ check: (String) -> String?) throws(SecretProblem) -> String {
    let text: String
    do { text = try File.text(path, limit: limit) } catch {
      throw SecretProblem(text: "a file that can be read: \(error)")
    }
    // Editors and secret stores end files with a newline.
    let value = String(text.reversed().drop { $0.isNewline }.reversed())
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
