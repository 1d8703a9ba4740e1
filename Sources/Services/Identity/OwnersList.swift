import Crypto
import Domain

/// Lists of things that belong to one owner each: saved searches, webhooks.
enum OwnersList {
  /// The id of the owner's list. Names may have any characters; ids may not.
  static func id(of owner: String) -> String { SHA256.hash(Array(ExactName(owner).text.utf8)).hexadecimal }
}
