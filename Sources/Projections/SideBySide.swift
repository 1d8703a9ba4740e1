/// Does parts of a work side by side. If some fail, the others are ended first, and the first error is thrown then: where a server is tried
/// again by one call (`Dependency`), the others are refused, and must not end it.
func sideBySide<Part: Sendable, Value: Sendable>(
  _ parts: some Sequence<Part>, _ body: @escaping @Sendable (Part) async throws -> Value
) async throws -> [Value] {
  let results = await withTaskGroup(of: Result<Value, any Error>.self) { group in
    for part in parts {
      group.addTask {
        do { return .success(try await body(part)) } catch { return .failure(error) }
      }
    }
    var results: [Result<Value, any Error>] = []
    for await result in group { results.append(result) }
    return results
  }
  return try results.map { try $0.get() }
}
