import CommandLine
import Services

extension Commands {
  static let doctor = Command(
    "doctor", "Check every dependency, and say what to do.",
    examples: [("annals doctor", "ends with 0 if all is well")]
  ) { arguments in
    let results = try await Runtime(arguments).run("doctor") { context in
      await context.start(poolSize: 1)
      return await Check.run(try context.features.flatMap { try $0.checks(context) })
    }
    for result in results { print(result) }
    let problems = results.count { !$0.isOK }
    print(problems == 0 ? "all is well" : "\(problems) of \(results.count) checks found a problem")
    if problems > 0 { leave(1) }
  }
}
