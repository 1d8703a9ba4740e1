import CMicrohttpd

/// Takes a multipart/form-data body apart by libmicrohttpd's post processor.
final class FormReader {
  private var processor: OpaquePointer?
  private var parts: [FormPart] = []
  private var isMalformed = false

  static func reads(_ contentType: String) -> Bool { contentType.lowercased().hasPrefix("multipart/form-data") }

  init(_ connection: OpaquePointer) {
    processor = MHD_create_post_processor(
      connection, 32 << 10,
      { context, _, name, filename, type, _, data, offset, count in
        let reader = Unmanaged<FormReader>.fromOpaque(context!).takeUnretainedValue()
        func text(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }
        let bytes = UnsafeRawBufferPointer(start: data, count: count)
        reader.take(text(name) ?? "", text(filename), text(type), bytes, continues: offset > 0)
        return .YES
      }, Unmanaged.passUnretained(self).toOpaque())
    isMalformed = processor == nil
  }

  deinit { if let processor { MHD_destroy_post_processor(processor) } }

  private func take(
    _ name: String, _ filename: String?, _ type: String?, _ bytes: UnsafeRawBufferPointer, continues: Bool
  ) {
    if continues, !parts.isEmpty {
      parts[parts.count - 1].bytes.append(contentsOf: bytes)
    } else if parts.count < 64 {
      parts.append(FormPart(name: name, filename: filename, contentType: type, bytes: Array(bytes)))
    } else {
      isMalformed = true
    }
  }

  func feed(_ data: UnsafeRawBufferPointer) {
    guard let processor, !isMalformed else { return }
    let bytes = data.baseAddress?.assumingMemoryBound(to: CChar.self)
    if MHD_post_process(processor, bytes, data.count) != .YES { isMalformed = true }
  }

  /// The parts; nil where the body was no form.
  func finish() -> [FormPart]? {
    // Its status is of no use: what follows the last boundary, such as the line's end, counts as an error.
    if let processor { MHD_destroy_post_processor(processor) }
    processor = nil
    return isMalformed ? nil : parts
  }
}
