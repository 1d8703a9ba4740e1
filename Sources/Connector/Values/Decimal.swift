/// An exact decimal number as Postgres writes it: its digits, and how many of them are after the point.
struct Decimal: Equatable {
  var isNegative = false
  /// Without leading zeros; empty for zero.
  private(set) var digits: [UInt8] = []
  private(set) var scale = 0

  /// nil if the text is not a finite number, as with NaN and the infinities.
  init?(_ text: some Sequence<UInt8>) {
    var hasPoint = false
    var count = 0
    for byte in text {
      switch byte {
      case UInt8(ascii: "-") where count == 0: isNegative = true
      case UInt8(ascii: "."):
        guard !hasPoint else { return nil }
        hasPoint = true
      case 0x30...0x39:
        if byte != 0x30 || !digits.isEmpty { digits.append(byte - 0x30) }
        if hasPoint { scale += 1 }
        count += 1
      default: return nil
      }
    }
    guard count > 0 else { return nil }
  }

  /// Removes trailing zeros after the point.
  mutating func stripZeros() {
    while scale > 0, digits.isEmpty || digits.last == 0 {
      digits = digits.dropLast()
      scale -= 1
    }
  }

  /// Extends the number with zeros to `scale` digits after the point.
  mutating func rescale(to scale: Int) {
    guard scale > self.scale else { return }
    if !digits.isEmpty { digits += Array(repeating: 0, count: scale - self.scale) }
    self.scale = scale
  }

  /// `-123.450`
  var text: [UInt8] {
    var text: [UInt8] = digits.map { $0 + 0x30 }
    while text.count <= scale { text.insert(0x30, at: 0) }
    if scale > 0 { text.insert(UInt8(ascii: "."), at: text.count - scale) }
    if isNegative, !digits.isEmpty { text.insert(UInt8(ascii: "-"), at: 0) }
    return text
  }

  /// All digits as one number in two's complement, big-endian, as short as it goes: java.math.BigInteger's form.
  var unscaledBytes: [UInt8] {
    // Nine decimal digits at a time into limbs of 32 bits, the lowest first.
    var limbs: [UInt32] = []
    var index = 0
    while index < digits.count {
      let end = min(index + 9, digits.count)
      var carry: UInt64 = 0
      var factor: UInt64 = 1
      for digit in digits[index..<end] {
        carry = carry * 10 + UInt64(digit)
        factor *= 10
      }
      for position in limbs.indices {
        let product = UInt64(limbs[position]) * factor + carry
        limbs[position] = UInt32(truncatingIfNeeded: product)
        carry = product >> 32
      }
      if carry > 0 { limbs.append(UInt32(truncatingIfNeeded: carry)) }
      index = end
    }
    var bytes: [UInt8] = limbs.reversed().flatMap { limb in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: limb >> $0) }
    }
    if isNegative {
      var carry = true
      for position in bytes.indices.reversed() {
        bytes[position] = ~bytes[position]
        if carry { (bytes[position], carry) = bytes[position].addingReportingOverflow(1) }
      }
      // Keep only one sign bit: the shortest form.
      bytes.insert(0xFF, at: 0)
      while bytes.count > 1, bytes[0] == 0xFF, bytes[1] & 0x80 != 0 { bytes.removeFirst() }
      if digits.isEmpty { bytes = [0] }
    } else {
      bytes.insert(0, at: 0)
      while bytes.count > 1, bytes[0] == 0, bytes[1] & 0x80 == 0 { bytes.removeFirst() }
    }
    return bytes
  }
}
