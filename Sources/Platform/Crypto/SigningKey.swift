import CCrypto

/// A private key with its certificate and those above it: for signatures in CMS (RFC 5652) as PAdES wants them (ETSI EN 319 142-1).
// unchecked: what OpenSSL keeps behind these pointers is not changed after `init`.
public final class SigningKey: @unchecked Sendable {
  private let key: OpaquePointer
  private let certificate: OpaquePointer
  private let chain: [OpaquePointer]

  /// SHA-256 of the certificate.
  public let certificateHash: [UInt8]
  /// The name in the certificate: its common name, or the whole subject.
  public let subject: String

  public struct Problem: Error, CustomStringConvertible {
    public let description: String
  }

  /// - Parameters:
  ///   - pem: The private key, not encrypted: RSA of at least 2,048 bits, or an elliptic curve.
  ///   - certificates: The key's certificate first, then those above it.
  public init(pem: [UInt8], certificates: [UInt8]) throws(Problem) {
    // No prompt for a password: the program has no terminal.
    let key = Self.read(pem) { PEM_read_bio_PrivateKey($0, nil, { _, _, _, _ in 0 }, nil) }
    guard let key else {
      throw Problem(description: "the key is no private key in PEM, or needs a password: remove it (openssl pkey)")
    }
    var chain: [OpaquePointer] = []
    _ = Self.read(certificates) { bio in
      while let next = PEM_read_bio_X509(bio, nil, nil, nil) { chain.append(next) }
      return nil
    }
    // The end of the file is an error too.
    ERR_clear_error()
    self.key = key
    self.chain = chain
    guard let certificate = chain.first else {
      EVP_PKEY_free(key)
      throw Problem(description: "there is no certificate in PEM")
    }
    self.certificate = certificate
    var length: UInt32 = 0
    var hash = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    X509_digest(certificate, EVP_sha256(), &hash, &length)
    certificateHash = Array(hash.prefix(Int(length)))
    var name = [CChar](repeating: 0, count: 256)
    let count = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, &name, Int32(name.count))
    subject = count > 0 ? String(decoding: name.prefix(Int(count)).map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
    guard X509_check_private_key(certificate, key) == 1 else {
      ERR_clear_error()
      throw Problem(description: "the key is not that of the first certificate")
    }
    let bits = EVP_PKEY_get_bits(key)
    switch EVP_PKEY_get_base_id(key) {
    case EVP_PKEY_RSA where bits >= 2_048, EVP_PKEY_EC where bits >= 256: break
    default: throw Problem(description: "the key is neither RSA of at least 2048 bits nor on a curve of at least 256")
    }
    try checkTime()
    let size = try sign(hash: SHA256.hash([])).der.count
    guard size <= Self.largest else {
      throw Problem(
        description:
          "a signature with all certificates has \(size) bytes; at most \(Self.largest) are kept: leave some out")
    }
  }

  /// The largest signature with its certificates, in bytes.
  public static let largest = 12_288

  /// - Throws: `Problem` if the certificate is not valid now.
  public func checkTime() throws(Problem) {
    guard X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0,
      X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0
    else { throw Problem(description: "the certificate is not valid now: its time is over, or has not begun") }
  }

  deinit {
    EVP_PKEY_free(key)
    for certificate in chain { X509_free(certificate) }
  }

  private static func read(_ bytes: [UInt8], _ body: (OpaquePointer) -> OpaquePointer?) -> OpaquePointer? {
    guard let bio = BIO_new_mem_buf(bytes, Int32(bytes.count)) else { return nil }
    defer { BIO_free(bio) }
    return body(bio)
  }

  /// Signs bytes of which only the SHA-256 is given; they are not in the signature.
  ///
  /// The signed attributes are those of PAdES: the type of the content, its hash, and the certificate's. OpenSSL's own way adds a
  /// time, which PAdES forbids (the PDF has one): so the attributes are signed here.
  public func sign(hash: [UInt8]) throws(Problem) -> DetachedSignature {
    let flags = UInt32(CMS_PARTIAL | CMS_DETACHED | CMS_BINARY)
    guard let cms = CMS_sign(nil, nil, nil, nil, flags) else { throw Self.failed("the signature cannot be begun") }
    let signature = DetachedSignature(cms)
    guard
      let signer = CMS_add1_signer(
        cms, certificate, key, EVP_sha256(), UInt32(CMS_NOSMIMECAP | CMS_CADES | CMS_PARTIAL))
    else { throw Self.failed("the key cannot sign") }
    for certificate in chain.dropFirst() { CMS_add1_cert(cms, certificate) }
    let isComplete =
      CMS_signed_add1_attr_by_NID(
        signer, NID_pkcs9_contentType, V_ASN1_OBJECT, UnsafeRawPointer(OBJ_nid2obj(NID_pkcs7_data)), -1)
      == 1
      && CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING, hash, Int32(hash.count)) == 1
    guard isComplete else { throw Self.failed("the attributes cannot be added") }
    let value = try sign(Self.attributes(of: signer))
    guard ASN1_OCTET_STRING_set(CMS_SignerInfo_get0_signature(signer), value, Int32(value.count)) == 1 else {
      throw Self.failed("the signature cannot be kept")
    }
    signature.signer = signer
    signature.value = value
    return signature
  }

  /// The signed attributes as they are signed: the DER of a SET OF, its members in the order of their bytes.
  private static func attributes(of signer: OpaquePointer) -> [UInt8] {
    let members = (0..<CMS_signed_get_attr_count(signer)).map { index in
      der { i2d_X509_ATTRIBUTE(CMS_signed_get_attr(signer, index), $0) }
    }.sorted { $0.lexicographicallyPrecedes($1) }
    let bytes = members.flatMap(\.self)
    let size = bytes.count
    let length: [UInt8] =
      size < 0x80
      ? [UInt8(size)] : size < 0x100 ? [0x81, UInt8(size)] : [0x82, UInt8(size >> 8), UInt8(size & 0xFF)]
    return [0x31] + length + bytes
  }

  private func sign(_ bytes: [UInt8]) throws(Problem) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    var count = 0
    guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key) == 1,
      EVP_DigestSign(context, nil, &count, bytes, bytes.count) == 1
    else { throw Self.failed("the key cannot sign") }
    var value = [UInt8](repeating: 0, count: count)
    guard EVP_DigestSign(context, &value, &count, bytes, bytes.count) == 1 else {
      throw Self.failed("the key cannot sign")
    }
    return Array(value.prefix(count))
  }

  static func failed(_ what: String) -> Problem {
    var text = [CChar](repeating: 0, count: 256)
    ERR_error_string_n(ERR_get_error(), &text, text.count)
    ERR_clear_error()
    return Problem(description: "\(what): \(text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })")
  }

  /// What an i2d function of OpenSSL writes.
  static func der(_ write: (UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32) -> [UInt8] {
    let count = write(nil)
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, initialized in
      var place = buffer.baseAddress
      initialized = Int(max(0, write(&place)))
    }
  }
}

/// A signature in CMS. One task uses it.
public final class DetachedSignature {
  private let cms: OpaquePointer
  fileprivate var signer: OpaquePointer?
  /// What the key has made of the attributes: an authority confirms when it was there.
  public fileprivate(set) var value: [UInt8] = []

  fileprivate init(_ cms: OpaquePointer) { self.cms = cms }
  deinit { CMS_ContentInfo_free(cms) }

  /// Adds the token of an authority over `value` (RFC 3161).
  public func add(timestamp token: [UInt8]) throws(SigningKey.Problem) {
    guard
      CMS_unsigned_add1_attr_by_NID(
        signer, NID_id_smime_aa_timeStampToken, V_ASN1_SEQUENCE, token, Int32(token.count)) == 1
    else { throw SigningKey.failed("the time's token cannot be added") }
  }

  public var der: [UInt8] { SigningKey.der { i2d_CMS_ContentInfo(cms, $0) } }
}
