import JWT
import Synchronization

/// The keys of one time, and the tokens that they have found good: to check a token takes longer than the rest of a small
/// request. Other keys are another ring, which knows no token yet.
///
/// Who has no good token puts nothing here.
final class KeyRing: Sendable {
  let keys: WebKeys

  /// The callers of tokens, by the tokens' bytes. When the newer ones are many, the older ones that nobody has shown since are
  /// forgotten.
  private struct Known {
    var newer: [ShownToken: Caller] = [:]
    var older: [ShownToken: Caller] = [:]
    /// Memory of the newer ones, roughly.
    var size = 0
  }
  private let known = Mutex(Known())

  /// Of the newer ones, and of the older ones, in bytes.
  private static let limit = 16 << 20

  init(_ keys: WebKeys) { self.keys = keys }

  /// Who a token is that was found good; nil: it must be checked. Whether it has ended since is not looked at.
  func caller(_ token: ShownToken) -> Caller? {
    known.withLock { known in
      if let caller = known.newer[token] { return caller }
      guard let caller = known.older.removeValue(forKey: token) else { return nil }
      Self.insert(token, caller, &known)
      return caller
    }
  }

  func insert(_ token: ShownToken, _ caller: Caller) { known.withLock { Self.insert(token, caller, &$0) } }

  private static func insert(_ token: ShownToken, _ caller: Caller, _ known: inout Known) {
    guard known.newer.updateValue(caller, forKey: token) == nil else { return }
    // The caller's texts come from the token, so they are not longer; each takes some memory of its own.
    known.size += 512 + token.bytes.count * 2 + (caller.names.count + caller.groups.count) * 64
    guard known.size > limit else { return }
    (known.older, known.newer, known.size) = (known.newer, [:], 0)
  }
}

/// A token as a request shows it. It is compared byte by byte, and hashed once: before the lock, which is all reactors'.
struct ShownToken: Hashable {
  let bytes: [UInt8]
  private let digest: Int

  init(_ text: String) {
    bytes = Array(text.utf8)
    var hasher = Hasher()
    bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    digest = hasher.finalize()
  }

  func hash(into hasher: inout Hasher) { hasher.combine(digest) }
}
