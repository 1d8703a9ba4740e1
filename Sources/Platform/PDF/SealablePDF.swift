import CQPDF
import Glibc

/// Why a PDF cannot be signed. It stays so: another attempt has no other end.
public struct PDFProblem: Error, Equatable, CustomStringConvertible {
  public let description: String
}

/// A PDF with room for a signature over all of it: the original's bytes, unchanged, and an incremental update behind them
/// (ISO 32000-1, section 7.5.6) with an invisible signature field (section 12.7.4.5) on the first page.
public struct SealablePDF: Sendable {
  /// The whole file. The place for the signature is full of zeros.
  public private(set) var bytes: [UInt8]
  /// How many of them are the original's.
  private let originalSize: Int
  /// The hexadecimal digits of the signature in `bytes`; the brackets around them lie outside and are not signed either.
  private let place: Range<Int>

  /// What the signature says beside itself.
  public struct Note: Sendable {
    /// The field's name: no other of the document has it.
    public let field: String
    public let signer: String
    public let reason: String
    /// `D:20261127180000Z`.
    public let date: String

    public init(field: String, signer: String, reason: String, date: String) {
      (self.field, self.signer, self.reason, self.date) = (field, signer, reason, date)
    }
  }

  /// Reads a PDF with qpdf and prepares it. It takes as long as reading the PDF does: off the loop.
  ///
  /// - Parameter room: For the signature, in bytes.
  public init(_ original: [UInt8], _ note: Note, room: Int) throws(PDFProblem) {
    guard original.starts(with: Array("%PDF-".utf8)) else {
      throw PDFProblem(description: "the PDF cannot be read: it does not begin with %PDF-")
    }
    let reading = try PDFReading(original)
    let update = try reading.update(note, room: room)
    (bytes, place, originalSize) = (update.bytes, update.place, original.count)
    // What others will read is read once more: the same pages, and the field with its signature.
    try PDFReading(bytes).check(update.field, update.value, pages: reading.pages)
  }

  // MARK: Between processes

  /// The place, and what is behind the original, as `init(_:update:)` takes it.
  public var update: [UInt8] { Array("\(place.lowerBound) \(place.upperBound)\n".utf8) + bytes[originalSize...] }

  /// - Returns: nil if that is no update of the original.
  public init?(_ original: [UInt8], update: [UInt8]) {
    guard let end = update.firstIndex(of: 0x0A) else { return nil }
    let numbers = String(decoding: update[..<end], as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    bytes = original + update[(end + 1)...]
    guard numbers.count == 2, original.count < numbers[0], numbers[0] <= numbers[1], numbers[1] < bytes.count else {
      return nil
    }
    (place, originalSize) = (numbers[0]..<numbers[1], original.count)
  }

  /// Everything but the signature's place: before it, and behind it.
  public var signed: (Range<Int>, Range<Int>) { (0..<place.lowerBound - 1, place.upperBound + 1..<bytes.count) }

  /// Puts the signature into its place.
  public mutating func insert(_ signature: [UInt8]) throws(PDFProblem) {
    guard signature.count * 2 <= place.count else {
      throw PDFProblem(description: "the signature has \(signature.count) bytes; there is room for \(place.count / 2)")
    }
    let digits = Array("0123456789abcdef".utf8)
    for (index, byte) in signature.enumerated() {
      bytes[place.lowerBound + 2 * index] = digits[Int(byte >> 4)]
      bytes[place.lowerBound + 2 * index + 1] = digits[Int(byte & 0xF)]
    }
  }
}

/// A PDF as qpdf reads it, and the update that is written behind it.
private final class PDFReading {
  private let original: [UInt8]
  private let qpdf: qpdf_data

  init(_ original: [UInt8]) throws(PDFProblem) {
    self.original = original
    guard let qpdf = qpdf_init() else { throw PDFProblem(description: "qpdf cannot be started") }
    self.qpdf = qpdf
    qpdf_set_suppress_warnings(qpdf, QPDF_BOOL(1))
    qpdf_silence_errors(qpdf)
    // An update of a table that had to be guessed would be a guess too.
    qpdf_set_attempt_recovery(qpdf, QPDF_BOOL(0))
    let code = original.withUnsafeBytes { bytes in
      qpdf_read_memory(qpdf, "content", bytes.bindMemory(to: CChar.self).baseAddress, UInt64(bytes.count), nil)
    }
    guard code & QPDF_ERROR_CODE(QPDF_ERRORS) == 0 else {
      if let error = qpdf_get_error(qpdf), qpdf_get_error_code(qpdf, error) == qpdf_e_password {
        throw PDFProblem(description: "the PDF is encrypted")
      }
      throw PDFProblem(description: "the PDF cannot be read: \(lastError)")
    }
    guard qpdf_is_encrypted(qpdf) == 0 else { throw PDFProblem(description: "the PDF is encrypted") }
  }

  deinit {
    var data: qpdf_data? = qpdf
    qpdf_cleanup(&data)
  }

  private var lastError: String {
    guard qpdf_has_error(qpdf) != 0, let error = qpdf_get_error(qpdf),
      let text = qpdf_get_error_full_text(qpdf, error)
    else { return "unknown" }
    return String(String(cString: text).prefix(200))
  }

  // Bytes, not text: strings in a PDF have an encoding of their own.
  private func text(_ object: qpdf_oh) -> [UInt8] { Self.bytes(qpdf_oh_unparse(qpdf, object)) }
  private func resolved(_ object: qpdf_oh) -> [UInt8] { Self.bytes(qpdf_oh_unparse_resolved(qpdf, object)) }
  private static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8] {
    guard let text else { return [] }
    return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
  }

  var pages: Int { Int(qpdf_get_num_pages(qpdf)) }

  /// - Throws: `PDFProblem` unless the field is there, with the signature as its value.
  func check(_ field: Int, _ value: Int, pages: Int) throws(PDFProblem) {
    let widget = qpdf_get_object_by_id(qpdf, Int32(field), 0)
    let isThere =
      self.pages == pages && qpdf_oh_is_dictionary(qpdf, widget) != 0
      && key(widget, "/V").map { Int(qpdf_oh_get_object_id(qpdf, $0)) } == value
      && key(widget, "/P").map { qpdf_oh_get_object_id(qpdf, $0) }
        == qpdf_oh_get_object_id(qpdf, qpdf_get_page_n(qpdf, 0))
    guard isThere, qpdf_has_error(qpdf) == 0 else {
      throw PDFProblem(description: "the PDF is built in a way that a signature would break: \(lastError)")
    }
  }
  private func key(_ object: qpdf_oh, _ name: String) -> qpdf_oh? {
    qpdf_oh_has_key(qpdf, object, name) != 0 ? qpdf_oh_get_key(qpdf, object, name) : nil
  }

  /// One object of the update.
  private struct Object {
    let number: Int
    let generation: Int
    let text: [UInt8]
  }

  struct Update {
    let bytes: [UInt8]
    let place: Range<Int>
    let field: Int
    let value: Int
  }

  func update(_ note: SealablePDF.Note, room: Int) throws(PDFProblem) -> Update {
    let (trailer, root) = (qpdf_get_trailer(qpdf), qpdf_get_root(qpdf))
    // Behind every object that there is; the trailer may say otherwise.
    let next = Int(qpdf_oh_get_object_id(qpdf, qpdf_make_indirect_object(qpdf, qpdf_oh_new_null(qpdf))))
    guard let size = key(trailer, "/Size").map({ Int(qpdf_oh_get_int_value(qpdf, $0)) }), size < 8_388_600, next > 0,
      qpdf_oh_is_dictionary(qpdf, root) != 0, pages > 0
    else { throw PDFProblem(description: "the PDF has no page, or no catalog: \(lastError)") }
    guard size >= next else {
      throw PDFProblem(
        description: "the PDF's trailer counts fewer objects than there are: readers would not agree on it")
    }
    if let permissions = key(root, "/Perms"), qpdf_oh_is_dictionary(qpdf, permissions) != 0,
      key(permissions, "/DocMDP") != nil
    {
      throw PDFProblem(description: "the PDF is certified by its author: a signature would break that")
    }
    let page = qpdf_get_page_n(qpdf, 0)
    // qpdf makes an object of a page that is none.
    guard (1..<next).contains(Int(qpdf_oh_get_object_id(qpdf, page))), qpdf_oh_get_object_id(qpdf, root) > 0 else {
      throw PDFProblem(description: "the PDF's first page is no object of its own")
    }
    let (value, field) = (size, size + 1)
    let reference = qpdf_get_object_by_id(qpdf, Int32(field), 0)
    var objects: [Object] = []

    // The form: a dictionary of the catalog, or an object of its own.
    let form = key(root, "/AcroForm")
    let owner: qpdf_oh
    if let form, qpdf_oh_is_dictionary(qpdf, form) != 0 {
      owner = form
    } else {
      owner = qpdf_oh_new_dictionary(qpdf)
    }
    append(reference, to: "/Fields", of: owner)
    qpdf_oh_replace_key(qpdf, owner, "/SigFlags", qpdf_oh_new_integer(qpdf, 3))
    if qpdf_oh_get_object_id(qpdf, owner) > 0 {
      objects.append(object(owner))
    } else {
      qpdf_oh_replace_key(qpdf, root, "/AcroForm", owner)
    }
    objects.append(object(root))
    append(reference, to: "/Annots", of: page)
    objects.append(object(page))
    let widget =
      Array("<< /Type /Annot /Subtype /Widget /FT /Sig /F 132 /Rect [ 0 0 0 0 ] /T \(Self.string(note.field)) /P ".utf8)
      + text(page) + Array(" /V \(value) 0 R >>".utf8)
    objects.append(Object(number: field, generation: 0, text: widget))
    guard qpdf_has_error(qpdf) == 0 else { throw PDFProblem(description: "the PDF cannot be read: \(lastError)") }
    guard Set(objects.map(\.number)).count == objects.count else {
      throw PDFProblem(description: "the PDF's catalog, form and first page are not objects of their own")
    }
    let (bytes, place) = try write(objects, value: value, note, room, trailer)
    return Update(bytes: bytes, place: place, field: field, value: value)
  }

  private func object(_ handle: qpdf_oh) -> Object {
    Object(
      number: Int(qpdf_oh_get_object_id(qpdf, handle)), generation: Int(qpdf_oh_get_generation(qpdf, handle)),
      text: resolved(handle))
  }

  /// Makes a longer array of an array of a dictionary. One that is an object of its own becomes a part of the dictionary.
  private func append(_ item: qpdf_oh, to name: String, of dictionary: qpdf_oh) {
    let array = qpdf_oh_new_array(qpdf)
    if let old = key(dictionary, name), qpdf_oh_is_array(qpdf, old) != 0 {
      for index in 0..<qpdf_oh_get_array_n_items(qpdf, old) {
        qpdf_oh_append_item(qpdf, array, qpdf_oh_get_array_item(qpdf, old, index))
      }
    }
    qpdf_oh_append_item(qpdf, array, item)
    qpdf_oh_replace_key(qpdf, dictionary, name, array)
  }

  // MARK: Writing

  private func write(
    _ objects: [Object], value: Int, _ note: SealablePDF.Note, _ room: Int, _ trailer: qpdf_oh
  ) throws(PDFProblem) -> (bytes: [UInt8], place: Range<Int>) {
    let (previous, isTable) = try lastTable()
    var bytes = original
    if bytes.last != 0x0A { bytes.append(0x0A) }
    var offsets: [(number: Int, generation: Int, offset: Int)] = []
    func begin(_ number: Int, _ generation: Int = 0) {
      offsets.append((number, generation, bytes.count))
      bytes += "\(number) \(generation) obj\n".utf8
    }
    for object in objects {
      begin(object.number, object.generation)
      bytes += object.text + Array("\nendobj\n".utf8)
    }
    begin(value)
    bytes += "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /M (\(note.date))".utf8
    bytes += " /Name \(Self.string(note.signer)) /Reason \(Self.string(note.reason)) /ByteRange ".utf8
    let range = bytes.count
    // As wide as it may become.
    bytes += [UInt8](repeating: 0x20, count: Self.rangeWidth)
    bytes += " /Contents <".utf8
    let place = bytes.count..<bytes.count + room * 2
    bytes += [UInt8](repeating: 0x30, count: room * 2)
    bytes += "> >>\nendobj\n".utf8

    var names: [UInt8] = []
    for name in ["/Root", "/Info", "/ID"] {
      if let entry = key(trailer, name) { names += Array("\(name) ".utf8) + text(entry) + [0x20] }
    }
    let start = bytes.count
    if isTable {
      bytes += "xref\n".utf8
      for (number, generation, offset) in offsets.sorted(by: { $0.number < $1.number }) {
        bytes += "\(number) 1\n\(Self.padded(offset, 10)) \(Self.padded(generation, 5)) n\r\n".utf8
      }
      bytes += Array("trailer\n<< /Size \(value + 2) ".utf8) + names + Array("/Prev \(previous) >>\n".utf8)
    } else {
      let table = value + 2
      offsets.append((table, 0, bytes.count))
      offsets.sort { $0.number < $1.number }
      let entries = offsets.flatMap { entry -> [UInt8] in
        let offset = (0..<8).map { UInt8(truncatingIfNeeded: entry.offset >> (56 - 8 * $0)) }
        return [1] + offset + [UInt8(entry.generation >> 8 & 0xFF), UInt8(entry.generation & 0xFF)]
      }
      let index = offsets.map { "\($0.number) 1" }.joined(separator: " ")
      bytes += "\(table) 0 obj\n<< /Type /XRef /Size \(table + 1) /W [ 1 8 2 ] /Index [ \(index) ]".utf8
      bytes += [0x20] + names + Array("/Prev \(previous) /Length \(entries.count) >>\nstream\n".utf8)
      bytes += entries
      bytes += "\nendstream\nendobj\n".utf8
    }
    bytes += "startxref\n\(start)\n%%EOF\n".utf8
    let behind = place.upperBound + 1
    let text = "[ 0 \(place.lowerBound - 1) \(behind) \(bytes.count - behind) ]"
    bytes.replaceSubrange(range..<range + text.utf8.count, with: text.utf8)
    return (bytes, place)
  }

  private static let rangeWidth = 48

  /// Where the newest cross-reference table begins, and whether it is one, not a stream.
  private func lastTable() throws(PDFProblem) -> (offset: Int, isTable: Bool) {
    let word = Array("startxref".utf8)
    let tail = original.suffix(2_048)
    var place = tail.endIndex - word.count
    while place >= tail.startIndex {
      if original[place..<place + word.count].elementsEqual(word) {
        let digits = original[(place + word.count)...].drop { $0 <= 0x20 }.prefix { (0x30...0x39).contains($0) }
        guard let offset = Int(String(decoding: digits, as: UTF8.self)), offset < original.count else { break }
        return (offset, original[offset...].starts(with: Array("xref".utf8)))
      }
      place -= 1
    }
    throw PDFProblem(description: "the PDF's end does not say where its table is")
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let text = "\(number)"
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }

  /// A text as a PDF has it: UTF-16, in hexadecimal digits, so that none of its characters means anything.
  private static func string(_ text: String) -> String {
    let digits = Array("0123456789abcdef")
    let units = [UInt16(0xFEFF)] + text.utf16
    return "<" + String(units.flatMap { unit in (0..<4).map { digits[Int(unit >> (12 - 4 * $0) & 0xF)] } }) + ">"
  }
}
