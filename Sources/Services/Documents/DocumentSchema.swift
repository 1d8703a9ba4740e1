import Domain

extension Document {
  /// The row image, as every reader gets it.
  static let schema = JSONSchema.named("Document", .object(properties))

  static let shareSchema = JSONSchema.named(
    "Share",
    .object([
      .init("with", Grantee.schema), .init("rights", .array(.string(values: Permissions.shareable.map(\.name)))),
      .init("until", .string(format: "date-time"), isRequired: false, "When it ends."),
    ]))

  static let properties: [JSONSchema.Property] = [
    .init("id", .string(format: "uuid")),
    .init("title", .string()),
    .init("content_type", .nullable(.string())),
    .init("content_size", .nullable(.integer), "Bytes."),
    .init("s3_key", .nullable(.string()), "Key of the content in the object store."),
    .init("content_sha256", .nullable(.string()), "SHA-256 of the content, in hexadecimal digits; also its ETag."),
    .init("status", DocumentStatus.schema),
    .init("created_by", .string()),
    .init("created_at", .string(format: "date-time")),
    .init("updated_at", .string(format: "date-time")),
    .init("tags", .array(.string()), isRequired: false, "In the order of their bytes; missing if there are none."),
    .init("type", .string(), isRequired: false, "Its type; missing if it has none."),
    .init("type_version", .integer, isRequired: false, "The definition of the type by which the fields were checked."),
    .init("fields", FieldValues.schema, isRequired: false, "Values of the type's fields."),
    .init("shared", .array(shareSchema), isRequired: false, "With whom it is shared; missing if with nobody."),
    .init("version", .integer, "The number of the last event; also the ETag."),
  ]
}
