/// The memory that the bodies of one listener's requests may use together, in bytes.
struct BodyMemory {
  let limit: Int
  private(set) var used = 0

  init(limit: Int) { self.limit = limit }

  var spare: Int { limit - used }

  mutating func change(by bytes: Int) { used += bytes }
}
