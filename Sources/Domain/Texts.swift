extension String {
  /// True for a text that people can read: not all of it blank, without U+0000, and of that many bytes of UTF-8 at most.
  func isReadable(upTo maximum: Int) -> Bool {
    (1...maximum).contains(utf8.count) && contains { !$0.isWhitespace } && !utf8.contains(0)
  }
}
