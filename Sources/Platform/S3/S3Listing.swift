import HTTPClient
public import Time

/// An object, or an upload that was begun, as a list shows it.
public struct S3Entry: Equatable, Sendable {
  public let key: String
  /// When it was written, or begun.
  public let at: Timestamp
  /// Of an upload.
  let uploadID: String?
}

extension S3Client {
  /// The objects whose keys begin with `prefix`, in the order of their keys, up to 1,000.
  ///
  /// - Parameter after: The last key of the page before.
  public func list(_ prefix: String, after: String? = nil) async throws(S3Error) -> [S3Entry] {
    var query: [(name: String, value: String)] = [("list-type", "2"), ("prefix", prefix)]
    if let after { query.append(("start-after", after)) }
    let response = try await send(.get, key: nil, query: query)
    if response.status == 404 { return [] }
    guard response.isSuccess else { throw refused("listing \(prefix)", response) }
    return XMLText(response.body).all("Contents").compactMap { S3Entry($0, time: "LastModified") }
  }

  /// Removes the parts of uploads that were begun before a time and neither completed nor aborted.
  ///
  /// MinIO lists the uploads of one key only, so `prefix` finds none there unless it is a whole key; it removes such parts
  /// itself after a day (`stale_uploads_expiry`).
  ///
  /// - Returns: How many uploads there were.
  public func abortUploads(_ prefix: String, before limit: Timestamp) async throws(S3Error) -> Int {
    var count = 0
    var marker: [(name: String, value: String)] = []
    while true {
      let response = try await send(.get, key: nil, query: [("uploads", ""), ("prefix", prefix)] + marker)
      if response.status == 404 { return count }
      guard response.isSuccess else { throw refused("listing uploads", response) }
      let text = XMLText(response.body)
      for entry in text.all("Upload").compactMap({ S3Entry($0, time: "Initiated") }) where entry.at < limit {
        guard let id = entry.uploadID else { continue }
        try await abortUpload(entry.key, id)
        count += 1
      }
      guard text.first("IsTruncated") == "true", let key = text.first("NextKeyMarker"),
        let id = text.first("NextUploadIdMarker")
      else { return count }
      marker = [("key-marker", key), ("upload-id-marker", id)]
    }
  }
}

extension S3Entry {
  fileprivate init?(_ text: XMLText, time: String) {
    guard let key = text.first("Key"), let at = text.first(time).flatMap({ Timestamp($0) }) else { return nil }
    (self.key, self.at, uploadID) = (key, at, text.first("UploadId"))
  }
}

/// Elements of the flat XML that an object store answers with, found by their names.
struct XMLText {
  private let text: Substring

  init(_ bytes: [UInt8]) { text = Substring(decoding: bytes, as: UTF8.self) }
  private init(_ text: Substring) { self.text = text }

  /// The contents of each element of this name.
  func all(_ name: String) -> [XMLText] {
    var found: [XMLText] = []
    var rest = text
    while let start = rest.firstRange(of: "<\(name)>"),
      let end = rest[start.upperBound...].firstRange(of: "</\(name)>")
    {
      found.append(XMLText(rest[start.upperBound..<end.lowerBound]))
      rest = rest[end.upperBound...]
    }
    return found
  }

  /// The text of the first element of this name.
  func first(_ name: String) -> String? {
    guard let start = text.firstRange(of: "<\(name)>"),
      let end = text[start.upperBound...].firstRange(of: "</\(name)>")
    else { return nil }
    var value = String(text[start.upperBound..<end.lowerBound])
    for (escape, character) in [("&quot;", "\""), ("&#34;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")] {
      value.replace(escape, with: character)
    }
    return value
  }
}
