import CCrypto

/// A public key for signatures of JSON Web Signature (RFC 7518, section 3): RSASSA-PKCS1-v1_5 or ECDSA on P-256, with SHA-256.
// unchecked: an EVP_PKEY that nobody changes may be used from any thread.
public final class PublicKey: @unchecked Sendable {
  private let key: OpaquePointer
  private let isElliptic: Bool

  private init(_ key: OpaquePointer, isElliptic: Bool) { (self.key, self.isElliptic) = (key, isElliptic) }
  deinit { EVP_PKEY_free(key) }

  /// An RSA key of its modulus and exponent, big-endian.
  ///
  /// - Returns: nil if this is no key, or one of fewer than 2,048 or more than 8,192 bits.
  public static func rsa(modulus: [UInt8], exponent: [UInt8]) -> PublicKey? {
    let bits = modulus.drop { $0 == 0 }.count * 8
    guard (2_041...8_192).contains(bits), (1...8).contains(exponent.count) else { return nil }
    let builder = OSSL_PARAM_BLD_new()
    defer { OSSL_PARAM_BLD_free(builder) }
    let (n, e) = (BN_bin2bn(modulus, Int32(modulus.count), nil), BN_bin2bn(exponent, Int32(exponent.count), nil))
    defer {
      BN_free(n)
      BN_free(e)
    }
    guard OSSL_PARAM_BLD_push_BN(builder, text("n"), n) == 1, OSSL_PARAM_BLD_push_BN(builder, text("e"), e) == 1 else {
      return nil
    }
    guard let key = make("RSA", builder), EVP_PKEY_get_bits(key) >= 2_048 else { return nil }
    return PublicKey(key, isElliptic: false)
  }

  /// A key on the curve P-256, of a point's coordinates.
  ///
  /// - Returns: nil if the point is not on the curve.
  public static func p256(x: [UInt8], y: [UInt8]) -> PublicKey? {
    guard x.count == 32, y.count == 32 else { return nil }
    let builder = OSSL_PARAM_BLD_new()
    defer { OSSL_PARAM_BLD_free(builder) }
    let point = [0x04] + x + y
    let key = point.withUnsafeBytes { point in
      let isMade =
        OSSL_PARAM_BLD_push_utf8_string(builder, text("group"), text("prime256v1"), 0) == 1
        && OSSL_PARAM_BLD_push_octet_string(builder, text("pub"), point.baseAddress, point.count) == 1
      return isMade ? make("EC", builder) : nil
    }
    guard let key else { return nil }
    return PublicKey(key, isElliptic: true)
  }

  /// A text that stays: the builder keeps the pointers that it gets.
  private static func text(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }

  private static func make(_ kind: String, _ builder: OpaquePointer?) -> OpaquePointer? {
    guard let parameters = OSSL_PARAM_BLD_to_param(builder) else { return nil }
    defer { OSSL_PARAM_free(parameters) }
    let context = EVP_PKEY_CTX_new_from_name(nil, kind, nil)
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_fromdata_init(context) == 1,
      EVP_PKEY_fromdata(context, &key, annals_public_key_selection(), parameters) == 1
    else {
      EVP_PKEY_free(key)
      return nil
    }
    let check = EVP_PKEY_CTX_new_from_pkey(nil, key, nil)
    defer { EVP_PKEY_CTX_free(check) }
    guard EVP_PKEY_public_check(check) == 1 else {
      EVP_PKEY_free(key)
      return nil
    }
    return key
  }

  /// - Parameter signature: As JSON Web Signature has it: of ECDSA the two numbers, 32 bytes each.
  public func verifies(_ signature: [UInt8], of message: [UInt8]) -> Bool {
    guard let form = isElliptic ? Self.sequence(signature) : signature else { return false }
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    guard EVP_DigestVerifyInit_ex(context, nil, "SHA256", nil, nil, key, nil) == 1 else { return false }
    return EVP_DigestVerify(context, form, form.count, message, message.count) == 1
  }

  /// The ASN.1 form of two numbers, which OpenSSL takes.
  private static func sequence(_ signature: [UInt8]) -> [UInt8]? {
    guard signature.count == 64 else { return nil }
    func number(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
      var digits = Array(bytes.drop { $0 == 0 })
      if digits.isEmpty { digits = [0] }
      if digits[0] >= 0x80 { digits.insert(0, at: 0) }
      return [0x02, UInt8(digits.count)] + digits
    }
    let body = number(signature[..<32]) + number(signature[32...])
    return [0x30, UInt8(body.count)] + body
  }
}

/// Compares two secrets in a time that does not tell where they differ.
public func isEqualInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
}
