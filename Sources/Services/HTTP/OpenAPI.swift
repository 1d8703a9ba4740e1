import HTTPServer
public import JSON

/// The API's description (OpenAPI 3.1), made of the declared routes.
public enum OpenAPI {
  public static func document(_ groups: [RouteGroup], version: String) -> JSONValue {
    var components: [String: JSONValue] = [:]
    let problem = problemSchema.json(&components)
    var paths: [(path: String, operations: [JSONObject.Member], prefixes: [String])] = []
    for group in groups {
      for route in group.routes {
        let operation = JSONObject.Member(
          name: route.method.rawValue.lowercased(), value: operation(route, group, problem, &components))
        if let index = paths.firstIndex(where: { $0.path == route.path }) {
          paths[index].operations.append(operation)
        } else {
          paths.append((route.path, [operation], group.prefixes))
        }
      }
    }
    let items = paths.map { item in
      // Routes for operators have no version: their server differs from the document's.
      let servers: [JSONObject.Member] =
        item.prefixes == RouteGroup.versioned ? [] : [.init(name: "servers", value: [["url": "/"]])]
      return JSONObject.Member(name: item.path, value: .object(JSONObject(servers + item.operations)))
    }
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "Annals", "version": .string(version),
        "summary": "Documents as events, streamed without loss.",
        "license": ["name": "see the project"],
      ],
      "servers": [["url": "/v1"], ["url": "/", "description": "The same routes without a version."]],
      "tags": .array(groups.map { ["name": .string($0.name)] }),
      "paths": .object(JSONObject(items)),
      "components": [
        "schemas": .object(
          JSONObject(components.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: $0.value) })),
        "securitySchemes": ["token": ["type": "http", "scheme": "bearer", "bearerFormat": "JWT"]],
      ],
    ]
  }

  private static let problemSchema = JSONSchema.named(
    "Problem",
    .object([
      .init("type", .string()), .init("title", .string()), .init("status", .integer),
      .init("detail", .string(), "Which value is wrong, and what to do."),
      .init(
        "field", .string(), isRequired: false, "The field at fault: a JSON Pointer, or a parameter's or header's name."),
    ]))

  private static func operation(
    _ route: Route, _ group: RouteGroup, _ problem: JSONValue, _ components: inout [String: JSONValue]
  ) -> JSONValue {
    var members: [JSONObject.Member] = [
      .init(name: "operationId", value: .string(identifier(route))),
      .init(name: "tags", value: [.string(group.name)]),
      .init(name: "summary", value: .string(route.summary)),
      .init(name: "x-right", value: .string(route.right.rawValue)),
    ]
    let identification = route.right == .anyone ? [] : [Authorization.actor]
    let inputs = (route.inputs + group.middleware.flatMap(\.inputs) + identification).filter { $0.place != .field }
    let parameters = inputs.map { input -> JSONValue in
      var members: [JSONObject.Member] = [
        .init(name: "name", value: .string(input.name)), .init(name: "in", value: .string(input.place.rawValue)),
        .init(name: "required", value: .bool(input.isRequired)),
        .init(name: "description", value: .string(input.meaning)),
        .init(name: "schema", value: input.schema.json(&components)),
      ]
      if input.deprecation != nil { members.append(.init(name: "deprecated", value: true)) }
      return .object(JSONObject(members))
    }
    if route.deprecation != nil { members.append(.init(name: "deprecated", value: true)) }
    if !parameters.isEmpty { members.append(.init(name: "parameters", value: .array(parameters))) }
    if route.right != .anyone { members.append(.init(name: "security", value: [["token": []]])) }
    if let body = body(route, &components) { members.append(.init(name: "requestBody", value: body)) }
    members.append(.init(name: "responses", value: responses(route, problem, &components)))
    return .object(JSONObject(members))
  }

  /// `get /documents/{id}/audit` is `getDocumentsIdAudit`.
  private static func identifier(_ route: Route) -> String {
    let words = route.path.split { !$0.isLetter && !$0.isNumber }
    return route.method.rawValue.lowercased() + words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
  }

  private static func body(_ route: Route, _ components: inout [String: JSONValue]) -> JSONValue? {
    let fields = route.inputs.filter { $0.place == .field }
    // Undeclared fields are refused.
    func closed(_ properties: [JSONSchema.Property]) -> JSONValue {
      guard case .object(var object) = JSONSchema.object(properties).json(&components) else { return .null }
      object.members.append(.init(name: "additionalProperties", value: false))
      return .object(object)
    }
    /// - Parameter nullable: A field that may be missing may be null; a part of a form may not.
    func properties(nullable: Bool, _ names: (InputDescription) -> [String]) -> [JSONSchema.Property] {
      fields.flatMap { field in
        let schema = nullable && !field.isRequired ? JSONSchema.nullable(field.schema) : field.schema
        return names(field).map { JSONSchema.Property($0, schema, isRequired: field.isRequired, field.meaning) }
      }
    }
    func parsed(_ example: String) -> JSONValue {
      do { return try JSONValue(parsing: example) } catch {
        preconditionFailure("\(route.path): the example is not JSON: \(error)")
      }
    }
    func json(_ example: String) -> JSONValue {
      ["schema": closed(properties(nullable: true) { [$0.name] }), "example": parsed(example)]
    }
    switch route.body {
    case .none: return nil
    case .fields(_, let example): return ["required": true, "content": ["application/json": json(example)]]
    case .fieldsOrForm(_, _, let example):
      let form: JSONValue = ["schema": closed(properties(nullable: false) { [$0.name] + $0.aliases })]
      return ["required": true, "content": ["application/json": json(example), "multipart/form-data": form]]
    case .content: return ["required": true, "content": ["*/*": ["schema": [:]]]]
    }
  }

  private static func responses(
    _ route: Route, _ problem: JSONValue, _ components: inout [String: JSONValue]
  ) -> JSONValue {
    var members = route.answers.map { answer in
      var value: [JSONObject.Member] = [.init(name: "description", value: .string(answer.meaning))]
      if let schema = answer.schema {
        value.append(
          .init(
            name: "content",
            value: .object(
              JSONObject([.init(name: answer.mediaType, value: ["schema": schema.json(&components)])]))))
      }
      return JSONObject.Member(name: "\(answer.status)", value: .object(JSONObject(value)))
    }
    members.append(
      .init(
        name: "default",
        value: ["description": "A problem.", "content": ["application/problem+json": ["schema": problem]]]))
    return .object(JSONObject(members))
  }
}
