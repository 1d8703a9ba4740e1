import Events
import JSON

extension JSONWriter {
  /// The member `changes`: the fields that differ, but for the version and the time, which stand beside it.
  mutating func changes(_ changes: [FieldChange]) {
    name("changes")
    array { writer in
      for change in changes where change.field != "version" && change.field != "updated_at" {
        writer.element()
        writer.object {
          $0.member("field", change.field)
          $0.member("before", change.before ?? .null)
          $0.member("after", change.after ?? .null)
        }
      }
    }
  }
}
