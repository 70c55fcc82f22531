-- What the module keeps in Redis and takes from there at any time is fixed
-- here: one endpoint, which takes identify events, and its actions.

return {
    prefix = "knock",
    environment = "development",
    source = "segment",
    identify = true,

    redis = "unix:" .. (os.getenv("KNOCK_PEER_REDIS")
                        or "/var/run/redis/redis.sock"),
    scripts = os.getenv("KNOCK_PEER_SCRIPTS") or "..",

    timeout = 5000,             -- ms, for each step towards Redis
    pool = 256,                 -- idle connections to Redis
    max_batch = 4000,
    max_recipients = 1000,
    max_fields = 1000,          -- of a user, in one event

    actions = {
        {
            key = "comment-created",
            event = "track/Comment Created",
            workflow = "new-comment",
            recipients = "properties.recipients",
            actor = "properties.commenter.id",
            tenant = "properties.org",
            cancellation_key = "properties.comment.id",
        },
    },
}
