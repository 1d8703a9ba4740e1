import CCrypto

/// Bytes that nobody can guess, and what is kept of those that people choose.
public enum Secrets {
  public static func random(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    precondition(RAND_bytes(&bytes, Int32(count)) == 1, "OpenSSL has no random numbers")
    return bytes
  }

  /// What scrypt makes of a password (RFC 7914): 32 bytes, with N = 2^14, r = 8, p = 1. It takes 16 MiB and some tens of
  /// milliseconds: run it off the loop.
  public static func scrypt(_ password: [UInt8], salt: [UInt8]) -> [UInt8] {
    var key = [UInt8](repeating: 0, count: 32)
    let text = password.map { CChar(bitPattern: $0) }
    let status = EVP_PBE_scrypt(text, text.count, salt, salt.count, 1 << 14, 8, 1, 64 << 20, &key, key.count)
    precondition(status == 1, "scrypt is not available in OpenSSL")
    return key
  }

  /// Compares in a time that does not tell where they differ.
  public static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
  }
}
