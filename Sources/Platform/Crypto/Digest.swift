import CCrypto

/// Hashes and message authentication by OpenSSL.
public enum SHA256 {
  /// The algorithm, fetched once: looking it up for each hash doubles the cost of a short one.
  private struct Algorithm: @unchecked Sendable {  // unchecked: OpenSSL's fetched algorithms are immutable and counted
    let pointer = EVP_MD_fetch(nil, "SHA256", nil)
  }
  private static let algorithm = Algorithm()

  /// The 32 bytes of the hash.
  public static func hash(_ bytes: some ContiguousBytes) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let status = bytes.withBytes { EVP_Digest($0.baseAddress, $0.count, &digest, nil, algorithm.pointer, nil) }
    precondition(status == 1, "SHA-256 is not available in OpenSSL")
    return digest
  }

  /// A hash of bytes that come in pieces.
  public struct Running: ~Copyable {
    private let context = EVP_MD_CTX_new()

    public init() {
      precondition(EVP_DigestInit_ex(context, algorithm.pointer, nil) == 1, "SHA-256 is not available in OpenSSL")
    }

    deinit { EVP_MD_CTX_free(context) }

    public func update(_ bytes: some ContiguousBytes) {
      precondition(bytes.withBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) } == 1, "SHA-256 failed")
    }

    /// The 32 bytes of the hash, once.
    public func finish() -> [UInt8] {
      var digest = [UInt8](repeating: 0, count: 32)
      precondition(EVP_DigestFinal_ex(context, &digest, nil) == 1, "SHA-256 failed")
      return digest
    }
  }

  /// The 32 bytes of HMAC-SHA-256 (RFC 2104).
  public static func authenticationCode(of bytes: [UInt8], key: [UInt8]) -> [UInt8] {
    var code = [UInt8](repeating: 0, count: 32)
    let result = HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &code, nil)
    precondition(result != nil, "HMAC-SHA-256 is not available in OpenSSL")
    return code
  }
}

/// A type that can lend its bytes without copying them.
public protocol ContiguousBytes {
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R
}

extension [UInt8]: ContiguousBytes {
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { withUnsafeBytes(body) }
}

extension ArraySlice<UInt8>: ContiguousBytes {
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R { withUnsafeBytes(body) }
}

extension [UInt8] {
  /// Reads pairs of hexadecimal digits; nil for anything else.
  public init?(hexadecimal text: String) {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    self = []
    for start in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[start...start + 1], as: UTF8.self), radix: 16) else { return nil }
      append(byte)
    }
  }
}

extension Collection<UInt8> {
  /// Lower-case hexadecimal digits.
  public var hexadecimal: String {
    String(unsafeUninitializedCapacity: count * 2) { buffer in
      var index = 0
      for byte in self {
        for digit in [byte >> 4, byte & 15] {
          buffer[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
          index += 1
        }
      }
      return index
    }
  }
}

/// SHA-1, for formats that require it. It is not secure.
public enum SHA1 {
  /// The 20 bytes of the hash.
  public static func hash(_ bytes: some ContiguousBytes) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 20)
    let status = bytes.withBytes { EVP_Digest($0.baseAddress, $0.count, &digest, nil, EVP_sha1(), nil) }
    precondition(status == 1, "SHA-1 is not available in OpenSSL")
    return digest
  }
}

/// MD5, for formats that require it. It is not secure.
public enum MD5 {
  /// The 16 bytes of the hash.
  public static func hash(_ bytes: some ContiguousBytes) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 16)
    let status = bytes.withBytes { EVP_Digest($0.baseAddress, $0.count, &digest, nil, EVP_md5(), nil) }
    precondition(status == 1, "MD5 is not available in OpenSSL")
    return digest
  }
}
