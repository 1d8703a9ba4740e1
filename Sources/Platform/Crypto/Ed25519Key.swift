import CCrypto

/// A key of Ed25519 (RFC 8032).
// unchecked: what OpenSSL keeps behind the pointer is not changed after `init`.
public final class Ed25519Key: @unchecked Sendable {
  private let key: OpaquePointer
  /// The 32 bytes with which others verify.
  public let publicKey: [UInt8]

  /// - Parameter seed: The 32 bytes of the private key.
  public init(seed: [UInt8]) {
    precondition(seed.count == 32, "the seed has \(seed.count) bytes")
    guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count) else {
      preconditionFailure("Ed25519 is not available in OpenSSL")
    }
    self.key = key
    var (bytes, count) = ([UInt8](repeating: 0, count: 32), 32)
    precondition(EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1, "Ed25519 is not available in OpenSSL")
    publicKey = bytes
  }

  deinit { EVP_PKEY_free(key) }

  /// The signature: 64 bytes.
  public func sign(_ bytes: [UInt8]) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    var (signature, count) = ([UInt8](repeating: 0, count: 64), 64)
    let isDone =
      EVP_DigestSignInit(context, nil, nil, nil, key) == 1
      && EVP_DigestSign(context, &signature, &count, bytes, bytes.count) == 1
    precondition(isDone, "Ed25519 is not available in OpenSSL")
    return signature
  }
}
