/// Returns the name in `known` that is closest to a mistyped one, or nil if none is close.
public func nearest(to given: String, in known: [String]) -> String? {
  // The distance takes time and memory in proportion to the length: a client chooses that.
  guard given.utf8.count <= longestName else { return nil }
  let best = known.map { ($0, editDistance($0, given)) }.min { $0.1 < $1.1 }
  guard let best, best.1 <= max(2, given.count / 3) else { return nil }
  return best.0
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two texts
/// (optimal string alignment).
func editDistance(_ left: String, _ right: String) -> Int {
  let left = Array(left)
  let right = Array(right)
  var beforeLast: [Int] = []
  var last = Array(0...right.count)
  for row in left.indices {
    var current = [row + 1]
    for column in right.indices {
      let same = left[row] == right[column]
      var cost = min(last[column + 1] + 1, current[column] + 1, last[column] + (same ? 0 : 1))
      if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
        cost = min(cost, beforeLast[column - 1] + 1)
      }
      current.append(cost)
    }
    (beforeLast, last) = (last, current)
  }
  return last[right.count]
}

/// Longer names get no suggestion, in bytes.
private let longestName = 64
