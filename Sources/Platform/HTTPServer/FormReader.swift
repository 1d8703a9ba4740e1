import CMicrohttpd

/// Parses a multipart/form-data body with libmicrohttpd's post processor.
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

  /// Ends the body and returns its parts; nil if the body is not a valid form.
  func finish() -> [FormPart]? {
    // The result is ignored: it is an error even if only a line end follows the last boundary.
    if let processor { MHD_destroy_post_processor(processor) }
    processor = nil
    return isMalformed ? nil : parts
  }
}
