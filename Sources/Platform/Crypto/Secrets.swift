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

/// Texts that only the holder of a key reads, and nobody else can make: AES-256-GCM (NIST SP 800-38D).
public enum SealedBytes {
  private static let (nonceSize, tagSize) = (12, 16)

  /// A nonce of its own, then the bytes under the key, then the tag.
  ///
  /// - Parameter key: 32 bytes.
  public static func seal(_ bytes: [UInt8], _ key: [UInt8]) -> [UInt8] {
    precondition(key.count == 32, "the key has \(key.count) bytes")
    let nonce = Secrets.random(nonceSize)
    var (sealed, tag) = ([UInt8](repeating: 0, count: bytes.count), [UInt8](repeating: 0, count: tagSize))
    var count: Int32 = 0
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    let isDone =
      EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
      && EVP_EncryptUpdate(context, &sealed, &count, bytes, Int32(bytes.count)) == 1
      && EVP_EncryptFinal_ex(context, &tag, &count) == 1
      && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, Int32(tagSize), &tag) == 1
    precondition(isDone, "AES-256-GCM is not available in OpenSSL")
    return nonce + sealed + tag
  }

  /// - Returns: nil if the bytes were not sealed with this key, or were changed.
  public static func open(_ bytes: [UInt8], _ key: [UInt8]) -> [UInt8]? {
    guard key.count == 32, bytes.count >= nonceSize + tagSize else { return nil }
    let sealed = Array(bytes[nonceSize..<bytes.count - tagSize])
    var (opened, tag) = ([UInt8](repeating: 0, count: sealed.count), Array(bytes.suffix(tagSize)))
    var (count, end): (Int32, [UInt8]) = (0, [UInt8](repeating: 0, count: 16))
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    guard EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, Array(bytes.prefix(nonceSize))) == 1,
      EVP_DecryptUpdate(context, &opened, &count, sealed, Int32(sealed.count)) == 1,
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, Int32(tagSize), &tag) == 1,
      EVP_DecryptFinal_ex(context, &end, &count) == 1
    else { return nil }
    return opened
  }
}
