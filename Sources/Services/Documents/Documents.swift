import CommandLine
public import Configuration
import Domain
public import Events
import MediaType
public import Projections
import Redis
import S3

/// Documents: create, read, change, delete; kept in Redis for readers and in Elasticsearch for the search.
public struct Documents: Feature {
  public let name = "documents"

  public init() {}

  static let maximumContent = Setting(
    "documents.max-content", default: ByteCount.mebibytes(32), "Largest content of a document.")

  public var settings: [SettingDescription] { [Self.maximumContent.description, HotDocuments.memory.description] }

  public var aggregates: [any Aggregate.Type] { [Document.self] }

  public func routes(_ context: Context) throws -> [RouteGroup] {
    let documents = try DocumentService(context)
    let routes = DocumentRoutes(
      documents, maximumJSON: context.settings[HTTPSettings.maximumJSON].bytes, logger: context.logger)
    let lists = DocumentLists(context.redis, prefix: context.settings[ConnectionSettings.redisPrefix])
    return [
      routes.group, SharingRoutes(documents).group, VersionRoutes(documents).group,
      ListRoutes(lists, ViewReaders(view: lists, reactor: context.reactor)).group,
    ]
  }

  public func views(_ context: Context) throws -> [any View] {
    let prefix = context.settings[ConnectionSettings.redisPrefix]
    return [DocumentCache(context.redis, prefix: prefix), DocumentLists(context.redis, prefix: prefix)]
  }

  /// Whoever counts views saves them too, and the reader of the log tells what is not to be kept in memory any more.
  public func workers(_ context: Context) throws -> [any Worker] { [DurableViews(context), LogTail(context)] }

  public func contents(_ context: Context) throws -> [StoredContents] { [ContentStore.contents(context.store)] }

  public func checks(_ context: Context) throws -> [Check] {
    [
      Check("Redis") {
        let info = try await context.redis.command(RedisCommand("INFO", "server")).text ?? ""
        let version = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("redis_version:") }
        return "version \(version?.dropFirst("redis_version:".count) ?? "unknown")"
      },
      Check("Object store") {
        let exists = try await context.content.bucketExists()
        return "\(context.content.endpoint), bucket \(context.settings[ConnectionSettings.s3Bucket]): "
          + (exists ? "present" : "does not exist yet; the first content creates it")
      },
    ]
  }
}

extension DocumentService {
  init(_ context: Context) throws {
    self.init(
      context,
      cache: DocumentCache(context.redis, prefix: context.settings[ConnectionSettings.redisPrefix]),
      views: ViewCounts(context),
      content: ContentStore(
        context.content, detector: try MediaTypeDetector(),
        maximum: context.settings[Documents.maximumContent].bytes))
  }
}
