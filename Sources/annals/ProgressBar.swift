import Glibc

/// Progress on standard error: a bar on a terminal, four lines elsewhere.
enum ProgressBar {
  static func show(_ done: Int, of total: Int, _ unit: String) {
    guard total > 0 else { return }
    let text: String
    if isatty(STDERR_FILENO) == 1 {
      let filled = 40 * done / total
      let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 40 - filled)
      text = "\r\(bar) \(done)/\(total) \(unit)" + (done == total ? "\n" : "")
    } else {
      guard (1...4).contains(where: { done == max(1, total * $0 / 4) }) else { return }
      text = "\(done)/\(total) \(unit)\n"
    }
    let bytes = Array(text.utf8)
    bytes.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
