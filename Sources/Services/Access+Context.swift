import Identifiers
import Domain
import EventStore
import JSON
import Projections
import Redis

extension Access {
  /// Asks the log and the cache of a reactor.
  public init(_ context: Context) {
    let (documents, redis) = (AggregateStore<Document>(context.store), context.redis)
    self.init(Authenticator(context.settings, keys: context.keys)) {
      try await documents.load($0.description).state
    } cached: { [hot = context.hot] id in
      if let document = hot.document(id) { return document }
      do {
        guard let row = try await redis.command(RedisCommand("GET", DocumentCache.key(id.description))).bytes else {
          return nil
        }
        return try Document(rowImage: JSONValue(parsing: row))
      } catch {
        // Redis does not answer, or somebody else has written the key: the log knows.
        return nil
      }
    } signedDocument: { id in
      try await AggregateStore<Signature>(context.store).load(id.description).state?.documentID
    }
  }
}
