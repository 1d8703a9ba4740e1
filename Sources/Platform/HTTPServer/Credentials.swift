/// What an `Authorization` header carries (RFC 9110, section 11.4).
public enum Credentials {
  /// The one word after a scheme.
  ///
  /// - Parameter scheme: In small letters; the header may have it in any.
  /// - Returns: nil for another scheme, and for none or several words after it.
  public static func word(after scheme: StaticString, in header: String) -> String? {
    func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
    // Blanks around the value do not belong to it (section 5.5).
    var value = header.utf8.drop(while: isBlank)
    while value.last.map(isBlank) == true { value.removeLast() }
    guard let end = value.firstIndex(of: UInt8(ascii: " ")), Substring(value[..<end]).lowercased() == "\(scheme)" else {
      return nil
    }
    let word = value[end...].drop { $0 == UInt8(ascii: " ") }
    return word.contains(UInt8(ascii: " ")) ? nil : String(Substring(word))
  }
}
