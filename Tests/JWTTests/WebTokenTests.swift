import JSON
import JWT
import Testing

/// Keys and signatures of RFC 7515, appendix A.1 to A.3. Their claims say who issued them and when they end, nothing else.
private enum RFC7515 {
  static let claims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
  static let hs256 = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\(claims).dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
  static let rs256 =
    "eyJhbGciOiJSUzI1NiJ9.\(claims)."
    + "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
    + "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
    + "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
    + "Ge77Rw"
  static let es256 =
    "eyJhbGciOiJFUzI1NiJ9.\(claims)."
    + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

  static let secret: [UInt8] = [
    3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40, 169, 15,
    132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33,
    114,
    5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
  ]
  static let rsa =
    #"{"kty":"RSA","kid":"rsa","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2"#
    + "mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsL"
    + "A9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2et"
    + #"hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#
  static let ec =
    #"{"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","#
    + #""y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
  static var set: WebKeys { get throws { try WebKeys(set: Array(#"{"keys":[\#(rsa),\#(ec)]}"#.utf8)) } }
  static var secretKey: WebKeys { get throws { WebKeys([try #require(WebKey(secret: secret))]) } }
}

private let secret = Array("0123456789abcdef0123456789abcdef".utf8)
private let now: Int64 = 1_800_000_000

/// Why a token is refused; nil: it is not.
private func refusal(
  _ token: String, _ keys: WebKeys, issuer: String = "me", audience: String = "us", now: Int64 = now
) -> WebTokenError? {
  do throws(WebTokenError) {
    _ = try WebToken(token, keys: keys, rules: .init(issuer: issuer, audience: audience, leeway: 60), now: now)
    return nil
  } catch { return error }
}

private func claims(_ more: [(String, JSONValue)] = []) -> JSONValue {
  var members: [JSONObject.Member] = [
    .init(name: "iss", value: "me"), .init(name: "aud", value: "us"), .init(name: "sub", value: "jane"),
    .init(name: "exp", value: .integer(now + 100)),
  ]
  for (name, value) in more {
    members.removeAll { $0.name == name }
    if value != .null { members.append(.init(name: name, value: value)) }
  }
  return .object(JSONObject(members))
}

@Suite("A JSON Web Token", .timeLimit(.minutes(1))) struct WebTokenTests {
  @Test("with a signature of RFC 7515 is refused for its claims alone; with one digit changed, for its signature")
  func vectors() throws {
    for (token, keys) in [
      (RFC7515.hs256, try RFC7515.secretKey), (RFC7515.rs256, try RFC7515.set), (RFC7515.es256, try RFC7515.set),
    ] {
      let before: Int64 = 1_300_819_000
      #expect(refusal(token, keys, issuer: "joe", now: before) == .audience)
      #expect(refusal(token, keys, issuer: "joe", now: before + 1_000) == .expired)
      var changed = Array(token.utf8)
      let place = changed.count - 20
      changed[place] = changed[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
      #expect(refusal(String(decoding: changed, as: UTF8.self), keys, issuer: "joe", now: before) == .signature)
    }
  }

  @Test("is checked by the key's algorithm, never by its own word")
  func confusion() throws {
    // The public key's text as a shared secret: the attack of RFC 8725, section 2.1.
    let forged = WebToken.sign(claims(), secret: Array(RFC7515.rsa.utf8))
    #expect(refusal(forged, try RFC7515.set) == .unknownKey(nil))
    let body = forged.split(separator: ".")[1]
    func head(_ text: String) -> String {
      // base64url of a header, by the token's own writer: its first part is a fixed one.
      let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
      let bytes = Array(text.utf8)
      var (result, group, bits) = ("", 0, 0)
      for byte in bytes {
        (group, bits) = (group << 8 | Int(byte), bits + 8)
        while bits >= 6 {
          bits -= 6
          result.append(digits[group >> bits & 63])
        }
        group &= 0xFFFF
      }
      if bits > 0 { result.append(digits[group << (6 - bits) & 63]) }
      return result
    }
    let keys = WebKeys([try #require(WebKey(secret: secret))])
    for (header, expected) in [
      (#"{"alg":"none"}"#, WebTokenError.algorithm("none")), (#"{"alg":"None"}"#, .algorithm("None")),
      (#"{"alg":"HS512"}"#, .algorithm("HS512")), (#"{}"#, .algorithm("")),
      (#"{"alg":"RS256"}"#, .unknownKey(nil)), (#"{"alg":"HS256","kid":"x"}"#, .unknownKey("x")),
      (#"{"alg":"HS256","crit":["b64"],"b64":false}"#, .critical),
      (#"{"alg":"HS256","typ":"dpop+jwt"}"#, .type("dpop+jwt")),
      (#"{"alg":"HS256"}"#, .signature), (#"{"alg":"HS256","alg":"none"}"#, .malformed), (#"["HS256"]"#, .malformed),
    ] {
      #expect(refusal("\(head(header)).\(body).\(head("x"))", keys) == expected, "\(header)")
    }
    #expect(refusal("\(head(#"{"alg":"none"}"#)).\(body).", keys) == .algorithm("none"))
  }

  @Test("needs its issuer, its audience, a subject and times that fit")
  func rules() throws {
    let keys = WebKeys([try #require(WebKey(secret: secret))])
    func refused(_ more: (String, JSONValue)...) -> WebTokenError? {
      refusal(WebToken.sign(claims(more), secret: secret), keys)
    }
    #expect(refused() == nil)
    #expect(refused(("aud", ["others", "us"])) == nil)
    #expect(refused(("exp", .integer(now - 59))) == nil)
    #expect(refused(("exp", .integer(now - 60))) == .expired)
    #expect(refused(("exp", .number(literal: "1800000000.5"))) == nil)
    #expect(refused(("exp", .null)) == .missing("exp"))
    for value: JSONValue in ["soon", .number(literal: "1e300"), -1, .bool(true), .integer(.max)] {
      #expect(refused(("exp", value)) == .time("exp"), "\(value)")
    }
    #expect(refused(("nbf", .integer(now + 60))) == nil)
    #expect(refused(("nbf", .integer(now + 61))) == .notYetValid("nbf"))
    #expect(refused(("iat", .integer(now + 61))) == .notYetValid("iat"))
    #expect(refused(("iss", "you")) == .issuer)
    #expect(refused(("iss", .null)) == .issuer)
    #expect(refused(("aud", "others")) == .audience)
    #expect(refused(("aud", .null)) == .audience)
    #expect(refused(("sub", .null)) == .missing("sub"))
    #expect(refused(("sub", "")) == .missing("sub"))
    #expect(
      refusal(WebToken.sign(claims([("x", .string(String(repeating: "y", count: 8_000)))]), secret: secret), keys)
        == .tooLarge)
    for text in ["", "a", "a.b", "a.b.c.d", "..", "e30.e30.e30=", "e30.e 30.e30"] {
      #expect(refusal(text, keys) == .malformed || refusal(text, keys) == .algorithm(""), "\(text)")
    }
  }

  @Test("finds its key among those of a set; keys of other kinds and weak ones are left out")
  func sets() throws {
    #expect(try RFC7515.set.keys.map(\.id) == ["rsa", "ec"])
    func ids(_ keys: String) -> [String?]? {
      do { return try WebKeys(set: Array(#"{"keys":[\#(keys)]}"#.utf8)).keys.map(\.id) } catch { return nil }
    }
    let encryption = RFC7515.rsa.replacing(#""kty":"RSA""#, with: #""kty":"RSA","use":"enc""#)
    #expect(ids("\(encryption),\(RFC7515.ec)") == ["ec"])
    #expect(
      ids(
        #"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#)
        == nil)
    #expect(ids(#"{"kty":"RSA","n":"ofgWCuLjybRlzo0t","e":"AQAB"}"#) == nil)
    // A point that is not on the curve.
    #expect(ids(RFC7515.ec.replacing("f83OJ3D2", with: "f83OJ3D3")) == nil)
    #expect(ids(RFC7515.ec.replacing("P-256", with: "P-521")) == nil)
    #expect(ids(RFC7515.rsa.replacing(#""kty":"RSA""#, with: #""kty":"RSA","alg":"RS512""#)) == nil)
    #expect(ids("") == nil)
    #expect(WebKey(secret: Array("short".utf8)) == nil)
  }
}
