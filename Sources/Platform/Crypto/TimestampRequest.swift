import CCrypto

/// A question to an authority for time: that it confirm when some bytes were there (RFC 3161).
public struct TimestampRequest: Sendable {
  /// The body of the request, of the type `application/timestamp-query`.
  public let der: [UInt8]
  private let hash: [UInt8]
  private let nonce: [UInt8]

  public static let requestType = "application/timestamp-query"
  /// The largest token, and how far the authority's clock may be from this machine's, in seconds.
  private static let (largest, tolerance) = (16_384, Int32(600))

  /// Why an answer is not taken.
  public struct Problem: Error, CustomStringConvertible {
    public let description: String
  }

  public init(for bytes: [UInt8]) {
    hash = SHA256.hash(bytes)
    // Positive, and of the same length in DER.
    nonce = [0x40 | Secrets.random(1)[0] & 0x3F] + Secrets.random(15)
    let request = TS_REQ_new()
    defer { TS_REQ_free(request) }
    let (imprint, algorithm, number) = (TS_MSG_IMPRINT_new(), X509_ALGOR_new(), Self.integer(nonce))
    defer {
      TS_MSG_IMPRINT_free(imprint)
      X509_ALGOR_free(algorithm)
      ASN1_INTEGER_free(number)
    }
    var hash = hash
    let isMade =
      X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_sha256), V_ASN1_NULL, nil) == 1
      && TS_MSG_IMPRINT_set_algo(imprint, algorithm) == 1
      && TS_MSG_IMPRINT_set_msg(imprint, &hash, Int32(hash.count)) == 1 && TS_REQ_set_version(request, 1) == 1
      && TS_REQ_set_msg_imprint(request, imprint) == 1 && TS_REQ_set_nonce(request, number) == 1
      && TS_REQ_set_cert_req(request, 1) == 1
    precondition(isMade, "OpenSSL cannot make a request for a time")
    der = SigningKey.der { i2d_TS_REQ(request, $0) }
  }

  private static func integer(_ bytes: [UInt8]) -> UnsafeMutablePointer<ASN1_INTEGER>? {
    let number = BN_bin2bn(bytes, Int32(bytes.count), nil)
    defer { BN_free(number) }
    return BN_to_ASN1_INTEGER(number, nil)
  }

  /// The token in an answer, if it is one to this request, of now, and its signature holds. Who has issued the authority's certificate
  /// is for whoever looks at it later.
  ///
  /// - Throws: `Problem` if the authority refuses, or the answer is to another request.
  public func token(in answer: [UInt8]) throws(Problem) -> [UInt8] {
    let response = answer.withUnsafeBufferPointer { buffer in
      var place = buffer.baseAddress
      return d2i_TS_RESP(nil, &place, buffer.count)
    }
    defer {
      TS_RESP_free(response)
      ERR_clear_error()
    }
    guard let response else { throw Problem(description: "the answer is none of a time's authority") }
    let status = ASN1_INTEGER_get(TS_STATUS_INFO_get0_status(TS_RESP_get_status_info(response)))
    guard status == 0 || status == 1, let token = TS_RESP_get_token(response),
      let info = TS_RESP_get_tst_info(response)
    else { throw Problem(description: "the authority refuses, with status \(status)") }
    let message = TS_MSG_IMPRINT_get_msg(TS_TST_INFO_get_msg_imprint(info))
    let confirmed = UnsafeBufferPointer(start: ASN1_STRING_get0_data(message), count: Int(ASN1_STRING_length(message)))
    guard confirmed.elementsEqual(hash) else { throw Problem(description: "the answer confirms other bytes") }
    let number = Self.integer(nonce)
    defer { ASN1_INTEGER_free(number) }
    guard let found = TS_TST_INFO_get_nonce(info), ASN1_INTEGER_cmp(found, number) == 0 else {
      throw Problem(description: "the answer is one to another request")
    }
    let algorithm = TS_MSG_IMPRINT_get_algo(TS_TST_INFO_get_msg_imprint(info))
    guard OBJ_obj2nid(algorithm?.pointee.algorithm) == NID_sha256 else {
      throw Problem(description: "the answer confirms another kind of hash")
    }
    var (days, seconds): (Int32, Int32) = (0, 0)
    guard ASN1_TIME_diff(&days, &seconds, nil, TS_TST_INFO_get_time(info)) == 1, days == 0,
      abs(seconds) <= Self.tolerance
    else { throw Problem(description: "the authority's clock and this machine's differ by more than ten minutes") }
    let der = SigningKey.der { i2d_PKCS7(token, $0) }
    guard der.count <= Self.largest else {
      throw Problem(description: "the token has \(der.count) bytes; at most \(Self.largest) are taken")
    }
    let isSigned = der.withUnsafeBufferPointer { buffer in
      var place = buffer.baseAddress
      let cms = d2i_CMS_ContentInfo(nil, &place, buffer.count)
      defer { CMS_ContentInfo_free(cms) }
      return cms != nil && annals_is_time_stamp(cms) == 1
    }
    guard isSigned else { throw Problem(description: "the token's signature does not hold") }
    return der
  }
}
