// What the module keeps in Redis and takes from there at any time is fixed
// here: one endpoint, which takes identify events, and its actions.

export const config = {
  prefix: 'knock',
  environment: 'development',
  source: 'segment',
  identify: true,

  timeout: 5000, // ms without an answer of Redis
  maxBatch: 4000,
  maxRecipients: 1000,
  maxFields: 1000, // of a user, in one event

  actions: [
    {
      key: 'comment-created',
      event: 'track/Comment Created',
      workflow: 'new-comment',
      recipients: 'properties.recipients',
      actor: 'properties.commenter.id',
      tenant: 'properties.org',
      cancellation_key: 'properties.comment.id',
    },
  ],
}
