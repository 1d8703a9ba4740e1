import CommandLine
import Configuration
import Crypto
import Files

/// With what completed sessions are sealed.
enum SealSettings {
  static let key = Setting(
    "signing.seal-key", default: "",
    "File with the private key (PEM) that seals PDFs of completed signing sessions. Empty: none is sealed.")
  static let certificate = Setting(
    "signing.seal-certificate", default: "", "File with that key's certificate, then those above it (PEM).")
  static let authority = Setting(
    "signing.tsa-url", default: "", isSecret: true,
    "URL of an authority that confirms the time of each seal (RFC 3161). Empty: seals have no confirmed time.",
    accepts: { $0.isEmpty || $0.hasPrefix("http://") || $0.hasPrefix("https://") }, remedy: "an http(s) URL")

  static let all: [SettingDescription] = [key.description, certificate.description, authority.description]

  /// The key; nil: nothing is sealed.
  ///
  /// - Throws: `SettingProblem` if there is no such key: a process that is to seal does not start without it.
  static func load(_ settings: Configuration) throws -> SigningKey? {
    let (key, certificate) = (settings[Self.key], settings[Self.certificate])
    guard !key.isEmpty || !certificate.isEmpty else { return nil }
    guard !key.isEmpty, !certificate.isEmpty else {
      throw SealKeyProblem(reason: "signing.seal-key and signing.seal-certificate belong together: set both, or none")
    }
    do {
      return try SigningKey(
        pem: try File.read(key, limit: 1 << 20), certificates: try File.read(certificate, limit: 1 << 20))
    } catch let error as SigningKey.Problem {
      throw SealKeyProblem(reason: "signing.seal-key \(key), signing.seal-certificate \(certificate): \(error)")
    } catch let error as FileError {
      throw SealKeyProblem(reason: "signing.seal-key or signing.seal-certificate: \(error)")
    }
  }
}

/// The key that seals cannot be used.
struct SealKeyProblem: Error, CustomStringConvertible {
  let reason: String
  var description: String { reason }
}
