import CommandLine
public import Configuration
import Domain
public import Events
import MediaType
public import Projections

/// Signatures on documents.
public struct Signatures: Feature {
  public let name = "signatures"

  public init() {}

  static let maximumImage = Setting("signatures.max-image", default: ByteCount.mebibytes(1), "Largest drawn signature.")
  static let mustBeImage = Setting(
    "signatures.require-image", default: false, "Refuse a drawn signature that is no PNG, JPEG or SVG.")

  public var settings: [SettingDescription] {
    [Self.maximumImage.description, Self.mustBeImage.description] + SealSettings.all
  }

  public var aggregates: [any Aggregate.Type] { [Signature.self, SigningSession.self] }

  public var connections: Connections { .postgres }

  public func contents(_ context: Context) throws -> [StoredContents] {
    [SignatureImages.contents(context.store), DocumentSealer.contents(context.store)]
  }

  /// A key that cannot be used is told at the start, not when the first session is completed.
  public func prepare(_ context: Context) async throws { _ = try SealSettings.load(context.settings) }

  public func views(_ context: Context) throws -> [any View] { [search(context)] }

  private func search(_ context: Context) -> SignatureSearch {
    SignatureSearch(
      context.elasticsearch, alias: context.settings[Search.alias] + "-signatures", options: .init(context.settings))
  }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    let images = SignatureImages(
      objects: context.content, detector: try MediaTypeDetector(), maximum: context.settings[Self.maximumImage].bytes,
      mustBeImage: context.settings[Self.mustBeImage])
    let sessions = SigningSessions(context.store, sealer: try DocumentSealer(context))
    return [
      SignatureRoutes(
        sessions, images: images, search: search(context),
        readers: ViewReaders(view: search(context), reactor: context.reactor),
        maximumJSON: context.settings[HTTPSettings.maximumJSON].bytes
      ).group,
      SessionRoutes(
        sessions,
        ContentAnswer(
          contents: ContentStore(context.content, detector: try MediaTypeDetector(), maximum: 0), logger: context.logger
        )
      ).group,
    ]
  }

  public func workers(_ context: Context) throws -> [any Worker] {
    let sessions = SigningSessions(context.store, sealer: try DocumentSealer(context))
    return [
      DueWorker(
        "signing", context,
        standstill: "signing sessions are not ended and nobody is reminded: the log cannot be written", sessions.look),
      // Beside it: an authority for time that is slow keeps no session from its end.
      DueWorker(
        "seals", context, standstill: "completed signing sessions are not sealed: the log cannot be written",
        sessions.lookAtSeals),
    ]
  }
}
